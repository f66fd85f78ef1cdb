# Whether a run was good: what must be none, and what may not grow.
package Soak::Judgement;
use strict;
use warnings;
use List::Util qw(max min);

# What may be more at the end of a life than at its beginning, warm-up left out: medians of the last and first quarter.
use constant {
    WARM_UP  => 120,     # seconds, and no more than a quarter of the life
    SHORTEST => 300,     # a life that is shorter is not judged
    MORE     => {
        beam => { fds => 4, heap => 1024, rss => 32768 },    # KiB
        epmd => { fds => 4, heap => 512,  rss => 2048 },
    },
    SPARE_FDS => 2,      # at the end, without strangers, compared to the beginning
};

# What must be 0, and how the table calls it.
my @NONE = (
    [lost              => 'messages lost'],
    [disorder          => 'messages out of order'],
    [damaged           => 'messages damaged'],
    [stuck             => 'streams that stood still'],
    [wrong_companions  => 'links and monitors that told something else'],
    [wrong_names       => 'global names that were not agreed on'],
    [unexplained       => 'connections that ended without a cause'],
    [died              => 'VMs that died by themselves'],
    [failed_reloads    => 'files that were not taken'],
    [strangers_bytes   => 'bytes that strangers got'],
    [strangers_stayed  => 'strangers who were not turned away'],
);

# A list of { what, value, wanted, good }.
sub judge {
    my ($run) = @_;
    my $totals = $run->totals;
    my @judgement = map { my ($name, $what) = @$_;
        { id => $name, what => $what, value => $totals->{$name}, wanted => '0', good => $totals->{$name} == 0 } } @NONE;
    push @judgement, { id => 'sent', what => 'messages sent', value => $totals->{sent}, wanted => '> 0',
        good => $totals->{sent} > 0 };
    push @judgement, map { my $name = $_;
        my ($before, $after) = map { $run->{$_}{$name} // 0 } qw(descriptors_before descriptors_after);
        { id => "fds_$name", what => "descriptors of $name in the end, more than at first", value => $after - $before,
            wanted => '<= ' . SPARE_FDS, good => $after - $before <= SPARE_FDS } } sort keys %{ $run->{descriptors_after} };
    push @judgement, map { growth($_) } grep { $_->{seconds} >= SHORTEST } lives($run);
    push @judgement, { id => 'findings', what => 'other findings', value => scalar @{ $run->{findings} }, wanted => '0',
        good => !@{ $run->{findings} } };
    return @judgement;
}

sub growth {
    my ($life) = @_;
    my $more = MORE->{ $life->{program} };
    return map { my $figure = $life->{$_};
        my $grown = $figure->{late} - $figure->{early};
        my $unit = $_ eq 'fds' ? '' : ', KiB';
        { id => "grown_$_", what => "$_ of $life->{program} of $life->{host}, grown in $life->{seconds} s$unit", value => $grown,
            wanted => "<= $more->{$_}", good => $grown <= $more->{$_} } } sort keys %$more;
}

# Each life with its first, last, and highest figures, and what it had early and late.
sub lives {
    my ($run) = @_;
    my (%of, @order);
    for my $sample (@{ $run->{samples} }) {
        for my $program (@{ $sample->{programs} }) {
            push @order, $program->{pid} if !$of{ $program->{pid} };
            push @{ $of{ $program->{pid} } }, { at => $sample->{at}, %$program };
        }
    }
    return map { life(@{ $of{$_} }) } @order;
}

sub life {
    my (@samples) = @_;
    my ($first, $last) = @samples[0, -1];
    my $seconds = int($last->{at} - $first->{at});
    my $warm = $first->{at} + min(WARM_UP, $seconds / 4);
    my @judged = grep { $_->{at} >= $warm } @samples;
    my $quarter = max(1, int(@judged / 4));
    return { host => $first->{host}, program => $first->{program}, pid => $first->{pid}, seconds => $seconds,
        map { my $figure = $_;
            my @values = map { $_->{$figure} } @samples;
            my @warm = map { $_->{$figure} } @judged;
            my ($early, $late) = (median(@warm[0 .. $quarter - 1]), median(@warm[-$quarter .. -1]));
            my $apart = ($judged[-1]{at} - $judged[0]{at}) * 3 / 4;
            ($figure => { first => $values[0], last => $values[-1], max => max(@values), early => $early, late => $late,
                per_hour => $apart ? int(($late - $early) / $apart * 3600) : 0 })
        } qw(fds rss heap erlang) };
}

sub median {
    my @sorted = sort { $a <=> $b } @_;
    return $sorted[ @sorted / 2 ];
}

1;
