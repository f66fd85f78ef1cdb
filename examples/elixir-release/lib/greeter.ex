defmodule Greeter do
  @moduledoc "A process under the same name on each node, which greets whoever asks from wherever."
  use Application
  use GenServer

  @impl Application
  def start(_type, _arguments) do
    Supervisor.start_link([__MODULE__], strategy: :one_for_one)
  end

  def start_link(_arguments), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  def greet(node), do: GenServer.call({__MODULE__, node}, :greet)

  @impl GenServer
  def init(state), do: {:ok, state}

  @impl GenServer
  def handle_call(:greet, {caller, _}, state) do
    {:reply, "#{node()} greets #{node(caller)}", state}
  end
end
