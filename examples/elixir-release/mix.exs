defmodule Greeter.MixProject do
  use Mix.Project

  def project do
    [app: :greeter, version: "1.0.0", releases: [greeter: []]]
  end

  def application do
    [mod: {Greeter, []}]
  end
end
