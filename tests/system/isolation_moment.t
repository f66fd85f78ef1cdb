#!/usr/bin/perl
# There is no moment at which a known port listens elsewhere, and a listener of an unknown one is where it belongs before
# EPMD is told of it: the system calls of real nodes, in their order.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Epmd qw(start_epmd_daemon);
use Distguard::Lab::Process;
use Test::More;

use constant PORT => 9150;

my $lab  = Distguard::Lab->new;
my $host = $lab->host('alpha');
$host->shim_env or plan skip_all => 'nothing is moved without the library';
my $address = $host->ip;

start_epmd_daemon($host);

# The node's calls that place its listener, in their order:
#     bind ADDRESS, listen, shutdown, move (a descriptor put over another's number), announce (ALIVE2_REQ), accept
# Sockets that are bound and never listen are its clients'.
sub calls {
    my ($name, %option) = @_;
    my $trace = $lab->temp_path('trace');
    # A sanitizer cannot look for leaks in what is traced.
    my %env = (ASAN_OPTIONS => join(':', $ENV{ASAN_OPTIONS} // (), 'detect_leaks=0'), %{ $option{env} // {} });
    my $node = $host->node($name, shim => $option{shim} // 1, args => $option{args}, env => \%env,
        as => [qw(strace -D -f -qq -x -s 16 -o), $trace, '-e', 'trace=bind,listen,accept,accept4,shutdown,dup2,dup3,writev']);
    $node->call('timer:sleep(100)');
    my ($port) = $node->call("erl_epmd:port_please(\"$name\", {127,0,0,1})") =~ /^\{port,(\d+),/ or die 'no port';
    $node->kill;
    my (@calls, %bound, $listener);
    for (split /^/, Distguard::Lab::Process::slurp($trace)) {
        s/^\d+\s+//;
        $bound{$1} = $2 if /^bind\((\d+), \{.*?sin6?_port=htons\(\d+\), .*?"(.*?)"/;
        if (/^listen\((\d+)/) {
            $listener //= $1;
            push @calls, "bind $bound{$1}", 'listen';
        }
        push @calls, $1 if /^(shutdown|accept)4?\((\d+)/ && defined $listener && $2 == $listener;
        push @calls, 'move' if /^dup3\(\d+, (\d+)/ && $1 == $listener;
        push @calls, 'announce' if /^writev\(.*iov_base="(?:\\x[0-9a-f]{2}){2}\\x78/;
    }
    return ($port, @calls);
}

subtest 'without the library' => sub {
    my (undef, @calls) = calls('plain', shim => 0);
    is_deeply(\@calls, ['bind 0.0.0.0', 'listen', 'announce', 'accept'], 'it listens everywhere, and is announced');
};

subtest 'a port that nobody has named' => sub {
    my (undef, @calls) = calls('learned');
    is_deeply(\@calls, ['bind 0.0.0.0', 'listen', 'shutdown', "bind $address", 'listen', 'move', 'announce', 'accept'],
        'its listener is moved before it is announced, and before the node accepts');
};

my $config = $lab->temp_path('config');
open(my $file, '>', $config) or die "$config: $!";
print {$file} "[{kernel, [{inet_dist_listen_min, ${\PORT}}, {inet_dist_listen_max, ${\PORT}}]}].\n";
close $file;

subtest 'a port that only the sys.config names' => sub {
    my ($port, @calls) = calls('config', args => ['-config', $config =~ s/\.config\z//r]);
    is($port, PORT, 'is used');
    is_deeply(\@calls, ['bind 0.0.0.0', 'listen', 'shutdown', "bind $address", 'listen', 'move', 'announce', 'accept'],
        'and moved before it is announced');
};

my $policy = $host->shim(conf => { distribution => { ports => ['9100-9199'] } }, file => $lab->temp_path('conf'));
my %known = (
    'the command line' => { args => [qw(-kernel inet_dist_listen_min), PORT, 'inet_dist_listen_max', PORT + 5] },
    'the policy'       => {
        args => ['-config', $config =~ s/\.config\z//r],
        env  => { DISTGUARD_CONF => $policy },
    },
);
for my $where (sort keys %known) {
    subtest "a port that $where names" => sub {
        my ($port, @calls) = calls('known', %{ $known{$where} });
        is($port, PORT, 'is used');
        is_deeply(\@calls, ["bind $address", 'listen', 'announce', 'accept'], 'and bound to the right address alone');
    };
}

done_testing;
