# What is shown of a run: a line of progress, the table at the end, and all of it as JSON.
package Soak::Report;
use strict;
use warnings;
use FindBin qw($RealBin);
use JSON::PP;
use POSIX qw(strftime uname);
use Soak::Judgement;
use Time::HiRes qw(time);

use constant {
    LINES => 60,     # of progress where nobody looks at a terminal
    SHOWN => 600,    # characters of a finding; the JSON has all
};

sub new {
    my ($class, %choice) = @_;
    $| = 1;
    my $pause = $choice{DURATION} / LINES;
    return bless { choice => \%choice, terminal => -t STDOUT, pause => $pause > 10 ? $pause : 10, told => 0,
        began => strftime('%Y-%m-%dT%H:%M:%SZ', gmtime) }, $class;
}

sub heading {
    my ($self) = @_;
    my $choice = $self->{choice};
    print "three guarded nodes for $choice->{DURATION} s, SPEED=$choice->{SPEED} SEED=$choice->{SEED}\n";
}

sub progress {
    my ($self, $run) = @_;
    return if !$self->{terminal} && time - $self->{told} < $self->{pause};
    $self->{told} = time;
    my $total = $run->totals;
    my $line = sprintf '%s of %s  %s sent, %d lost  %s MB  %s KeyUpdates  %d breaks  %s strangers  %d findings  %s',
        minutes($run->{began} ? ($run->{ended} // $run->clock) - $run->{began} : 0), minutes($self->{choice}{DURATION}),
        number($total->{sent}), $total->{lost}, number($total->{bytes} / 1e6), number($total->{key_updates}),
        $total->{breaks}, number($total->{strangers_turned_away}), scalar @{ $run->{findings} }, $run->{phase};
    if ($self->{terminal}) {
        my ($columns) = `stty size 2>/dev/null` =~ / (\d+)/;
        print "\r", substr($line, 0, ($columns || 80) - 1), "\e[K";
    } else {
        print "$line\n";
    }
}

# Label and value of the table's first part.
sub rows {
    my ($run) = @_;
    my $total = $run->totals;
    my $seconds = $run->{ended} - $run->{began};
    return (
        ['messages sent',                 number($total->{sent})],
        ['messages received',             number($total->{received}) . sprintf(' (%s/s, %.1f MB/s)',
            number($total->{received} / $seconds), $total->{bytes} / $seconds / 1e6)],
        ['lost',                          number($total->{lost})],
        ['cut off with their connection', number($total->{cut_off})],
        ['unknown, as a node was killed', number($total->{unknown})],
        ['requests answered',             number($total->{answered}) . " of " . number($total->{requests})
            . ", slowest in calm $total->{slowest_ms} ms"],
        ['links, monitors, remote spawns', number($total->{companions})],
        ['global names',                  number($total->{names})],
        ['connections made, ended',       "$total->{connects}, $total->{breaks}"],
        ['nodes killed, stopped',         "$total->{kill}, $total->{stall}"],
        ['EPMDs killed',                  $total->{epmd}],
        ['disconnected, cut',             "$total->{disconnect}, $total->{cut}"],
        ['rotations, policies',           "$total->{rotation}, $total->{policy}"],
        ['reloads by all programs',       $total->{reloads}],
        ['KeyUpdates',                    number($total->{key_updates})],
        ['strangers turned away',         number($total->{strangers_turned_away}) . ' of ' . number($total->{strangers_tried})
            . ", $total->{strangers_absent} found nobody"],
        ['refused, as the library counts', number($total->{refused})],
        ['CPU seconds of nodes and EPMDs', sprintf '%.0f (%.0f %% of one)', $total->{cpu}, 100 * $total->{cpu} / $run->clock],
    );
}

sub table {
    my ($self, $run, @judgement) = @_;
    print "\r\e[K" if $self->{terminal};
    print "\n";
    printf "%-32s %s\n", @$_ for rows($run);

    print "\n";
    my $format = "%-12s %6s %4s  %5s %5s %5s  %8s %8s %8s %9s  %7s %7s %7s %8s\n";
    printf $format, 'life', 's', '', 'fds', 'last', 'max', 'RSS KiB', 'last', 'max', '/hour', 'heap', 'last', 'max', '/hour';
    printf $format, "$_->{program} $_->{host}", $_->{seconds}, '', @{ $_->{fds} }{qw(first last max)},
        @{ $_->{rss} }{qw(first last max per_hour)}, @{ $_->{heap} }{qw(first last max per_hour)}
        for longest(Soak::Judgement::lives($run));

    print "\n";
    printf "%-4s %-64s %10s  (%s)\n", $_->{good} ? 'ok' : 'BAD', $_->{what}, $_->{value}, $_->{wanted} for @judgement;
    printf "at %s: %.${\SHOWN}s\n", minutes($_->{at}), $_->{what} for @{ $run->{findings} };
}

# Of each program of each host the longest life.
sub longest {
    my %longest;
    for my $life (@_) {
        my $name = "$life->{program} $life->{host}";
        $longest{$name} = $life if !$longest{$name} || $life->{seconds} > $longest{$name}{seconds};
    }
    return map { $longest{$_} } sort keys %longest;
}

sub write_json {
    my ($self, $path, $run, @judgement) = @_;
    my (undef, undef, $kernel, undef, $machine) = uname();
    my $result = {
        began => $self->{began}, commit => commit(), otp => $run->{otp}, kernel => "$kernel $machine", choice => $self->{choice},
        seconds => $run->{ended} - $run->{began}, totals => $run->totals,
        judgement => [map { { %$_, good => $_->{good} ? JSON::PP::true : JSON::PP::false } } @judgement],
        findings => $run->{findings}, events => $run->{events}, lives => [Soak::Judgement::lives($run)],
        strangers => $run->crowd->tally, start => $run->{began}, samples => $run->{samples},
    };
    open(my $file, '>', $path) or die "soak: $path: $!\n";
    print {$file} JSON::PP->new->canonical->pretty->encode($result);
    close $file or die "soak: $path: $!\n";
    print "\n$path\n";
}

# What was built, as git calls it; who runs the soak where git cannot look says it by COMMIT.
sub commit {
    my $commit = $ENV{COMMIT} || `git -C "$RealBin" describe --always --dirty 2>/dev/null` || 'not in git';
    chomp $commit;
    return $commit;
}

sub minutes { my ($seconds) = @_; return sprintf '%d:%02d', $seconds / 60, $seconds % 60 }

# 1234567 as 1,234,567
sub number {
    my $digits = sprintf '%.0f', $_[0];
    1 while $digits =~ s/^(\d+)(\d{3})/$1,$2/;
    return $digits;
}

1;
