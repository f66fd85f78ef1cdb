# OTP as the judge: two pairs of hosts, one with the library and one without, that are asked the same (tests/system/judge);
# what they answer is made comparable and compared.
package Distguard::Lab::Judge;
use strict;
use warnings;
use Exporter qw(import);
use Socket qw(AF_INET6 inet_pton);
use Test::More;
use Time::HiRes qw(time);

our @EXPORT_OK = qw(worlds world_args judge_module compare comparable);

use constant LIMIT => 60;

# A host's address that nobody has.
use constant NOWHERE => '10.77.0.250';

# What the policy asks for, or the library is: a case, what its guarded answer has, what the plain one has in its place, why.
my @KEPT = (
    ['distribution: listener_address', qr/\[\{here\}\]/, '[wildcard]', 'distribution.bind designates an address'],
    ['vm: descriptors', qr{"/memfd:distguard[^"]*",}, '', 'the status page'],
    ['vm: threads', qr/"distguard-log\\n",/, '', 'writes the log, so that no scheduler waits for a disk'],
    ['vm: threads', qr/"distguard-send\\n",/, '', 'once there was a flood of small messages: sends what no scheduler comes to send'],
);

sub cases_dir  { $_[0]->dir . '/judge' }
sub world_args { ('-pa', cases_dir($_[0])) }

# Two worlds of two hosts each, with a node on each: without the library, and with it.
sub worlds {
    my ($lab) = @_;
    mkdir cases_dir($lab);
    $lab->must('erlc', '+nowarn_deprecated_function', '+nowarn_removed', '-o', cases_dir($lab), glob $lab->root . '/tests/system/judge/*.erl');
    my @worlds = map { { shim => $_, hosts => [map { $lab->host($_) } $_ ? qw(gamma delta) : qw(alpha beta)] } } 0, 1;
    my $silent = $lab->host('silent');
    for my $world (@worlds) {
        $world->{silent} = $silent;
        $world->{nodes} = [map { $_->start_node('n', long => 1, shim => $world->{shim}, args => [world_args($lab)]) } @{ $world->{hosts} }];
    }
    $_->wait_up for map { @{ $_->{nodes} } } @worlds;
    return @worlds;
}

# The world as the cases have it (see tests/system/judge/dg_judge.erl).
sub described {
    my ($world, %more) = @_;
    my ($here, $there, $silent) = map { '{' . $_->ip =~ tr/./,/r . '}' } @{ $world->{hosts} }, $world->{silent};
    my %world = (
        here     => $here,
        there    => $there,
        nowhere  => '{' . NOWHERE =~ tr/./,/r . '}',
        silent   => '"' . $world->{silent}->place . '"',
        peer     => $world->{nodes}[1]->atom,
        peer_pid => '"' . $world->{nodes}[1]->pid . '"',
        dir      => '"' . $world->{hosts}[0]->dir . '"',
        %more,
    );
    return '#{' . join(', ', map {"$_ => $world{$_}"} sort keys %world) . '}';
}

# All cases of a module, or those that are chosen: both worlds are asked at once.
sub judge_module {
    my ($worlds, $module, $chosen, %more) = @_;
    my %chosen = map { $_ => 1 } @$chosen;
    for my $case ($worlds->[0]{nodes}[0]->call("dg_judge:cases($module)") =~ /\w+/g) {
        next if %chosen && !$chosen{$case};
        my $begin = time;
        my @asked = map { $_->{nodes}[0]->begin("dg_judge:run($module, $case, " . described($_, %more) . ')') } @$worlds;
        my @answer = map { comparable($worlds->[$_], $worlds->[$_]{nodes}[0]->result($asked[$_], LIMIT)) } 0, 1;
        my ($subject) = $module =~ /^dg_judge_(.*)/;
        compare(join(' ', $subject, values %more) . ": $case", @answer);
        note sprintf '%.1f s', time - $begin if time - $begin > 1;
    }
}

# What a world answered, with what is its own taken out: which hosts they are, process ids, references, times of the log.
sub comparable {
    my ($world, $text) = @_;
    my @hosts = @{ $world->{hosts} };
    for ([$hosts[0], 'here'], [$hosts[1], 'there']) {
        my ($host, $word) = @$_;
        my $tuple6 = join ',', map { hex } unpack '(H4)*', inet_pton(AF_INET6, $host->ip6);
        my $words = join '|', map { quotemeta } $host->ip6, $host->ip, $host->ip =~ tr/./,/r, $tuple6, $host->name;
        $text =~ s/(?<![\w.])(?:$words)(?![\d.]*\d)/$word/g;
    }
    for ($text) {
        s/<\d+\.\d+\.\d+>/<pid>/g;
        s/^ +(?:heap_size|stack_size|reductions|message_queue_len|messages|links|neighbours): .*\n//mg;    # of crash reports
        s/ at port \d+/ at port PORT/g;
        s/#(Port|Ref|Fun)<[^>]*>/#$1/g;
        s/\d\d?-\w{3}-\d{4}::\d\d:\d\d:\d\d(\.\d+)?/TIME/g;
        s/\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d)?/TIME/g;
    }
    return $text;
}

# One test for what was asked. Both answers are printed where they differ, or where the plain one shows that it is the
# question that is wrong.
sub compare {
    my ($what, $plain, $guarded) = @_;
    note $plain;
    for (grep { $_->[0] eq $what } @KEPT) {
        my (undef, $theirs, $ours, $why) = @$_;
        note "differs as it should: $why" if $guarded =~ s/$theirs/$ours/;
    }
    if ($plain =~ /the_case_/) {
        diag "$what, without the library:\n  $plain";
        return fail("$what: works without the library");
    }
    diag "$what\n  plain:   $plain\n  guarded: $guarded" if $plain ne $guarded;
    return ok($plain eq $guarded, $what);
}

1;
