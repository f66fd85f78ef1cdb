# Builds the probes and runs them, with and without the library.
package Probes;
use strict;
use warnings;
use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use Distguard::Tool qw(build folder spew run describe tool);

our @EXPORT_OK = qw(probe_folder probe_program probe_library library certificates policy guarded_env inert_env);

my $source = abs_path(dirname(__FILE__));
my $root   = abs_path("$source/../..");
my @flags  = (qw(-std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror), "-I$root");

my $folder = folder();
sub probe_folder { $folder }
sub library      { build() . '/libdistguard.so' }

sub compile {
    my (@arguments) = @_;
    my $run = run($ENV{CC} // 'cc', @flags, @arguments);
    $run->{status} == 0 or die describe($run);
}

# The program `probe`, or another by its folder's name: sources of one folder, fortified.c as its name says.
my %built;
sub probe_program {
    my ($name, @sources) = @_;
    return $built{$name} //= do {
        my @plain = map { "$source/$_" } grep { $_ ne 'fortified.c' } @sources;
        my @fortified = @plain < @sources ? "$folder/fortified.o" : ();
        compile(qw(-O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -c -o), $_, "$source/fortified.c") for @fortified;
        compile(qw(-O1 -pthread -o), "$folder/$name", @plain, @fortified);
        "$folder/$name";
    };
}

sub probe_library {
    my ($name, @libraries) = @_;
    compile(qw(-O1 -shared -fPIC -o), "$folder/$name.so", "$source/$name.c", map { "-l$_" } @libraries);
    return "$folder/$name.so";
}

# Made once: a certificate authority and a certificate of this host.
my $pki;
sub certificates {
    return $pki //= do {
        mkdir "$folder/pki";
        for my $command (['init', "$folder/pki"], ['issue', "$folder/pki", 'probe', '--ip', '127.0.0.1']) {
            my $run = run(tool(), 'pki', @$command);
            $run->{status} == 0 or die describe($run);
        }
        "$folder/pki";
    };
}

# A policy file that guards these programs; every port is distribution's where asked for.
sub policy {
    my (%is) = @_;
    my $pki       = certificates();
    my $programs  = join ', ', map {qq("$_")} @{ $is{programs} };
    my $ports     = $is{ports} ? qq(distribution: { ports = [ "$is{ports}" ]; };) : '';
    my $log       = $is{log} // "$folder/log";
    my $timeout   = $is{handshake_timeout} // '5.0';
    my $file      = "$folder/" . ($is{file} // 'shim.conf');
    return spew($file, <<"CONF");
version = 1;
default_profile = "probes";
profiles: {
  probes: {
    mode = "require";
    node_names = "off";
    programs = [ $programs ];
    $ports
    tls: {
      certificate = "$pki/probe.pem"; private_key = "$pki/probe.key"; ca = "$pki/ca.pem";
      handshake_timeout = $timeout;
    };
    log: { target = "$log"; };
  };
};
CONF
}

# Behind the runtime of a sanitizer, where there is one.
sub inert_env { return (LD_PRELOAD => join(':', $ENV{DISTGUARD_LAB_AHEAD} // (), library())) }

sub guarded_env {
    my ($conf, @programs) = @_;
    return (inert_env(), DISTGUARD_CONF => $conf, DISTGUARD_PROGRAMS => join(':', @programs));
}

1;
