# What happens to a connection between two nodes, drawn from a seed: the same for the same seed.
package Distguard::Faults;
use strict;
use warnings;
use Exporter qw(import);
use List::Util qw(min sum);

our @EXPORT_OK = qw(drawn is_final describe_run);

use constant {
    LARGEST       => 1 << 20,
    MOST_MESSAGES => 20,
    # Both handshakes are through when so many bytes have passed in either direction, also with a hybrid key exchange; without
    # one when a fourth of them has. With EPMD half of that is all there is.
    HANDSHAKES    => 6000,
    EPMD_BYTES    => 3000,
};

# What a seed gives:
#     side   0 or 1: which of the two nodes connects
#     sizes  of the messages that each of them sends
#     plan   { node => [faults], epmd => [faults] } for the connection to the other node and for that to its EPMD, as
#            fault-proxy wants them
#     fault  the one among them that does harm, if any, and
#     at     where: node or epmd
sub drawn {
    my ($seed) = @_;
    srand $seed;
    my %run = (seed => $seed, side => int rand 2, plan => { node => [], epmd => [] });
    $run{sizes} = [map { [map { size() } 1 .. 1 + rand MOST_MESSAGES] } 0, 1];

    my @bytes = map { HANDSHAKES + sum @$_ } @{ $run{sizes} };
    my %bytes = (out => $bytes[ $run{side} ], back => $bytes[ 1 - $run{side} ]);
    push @{ $run{plan}{node} }, map { shape(\%bytes, HANDSHAKES) } 1 .. rand 4;
    push @{ $run{plan}{epmd} }, shape({ out => EPMD_BYTES, back => EPMD_BYTES }, EPMD_BYTES) if rand() < 0.2;
    if (rand() < 0.75) {
        $run{at} = rand() < 0.15 ? 'epmd' : 'node';
        $run{fault} = $run{at} eq 'epmd' ? fault({ out => EPMD_BYTES, back => EPMD_BYTES }, EPMD_BYTES) : fault(\%bytes, HANDSHAKES);
        push @{ $run{plan}{ $run{at} } }, $run{fault};
    } elsif (!map { @$_ } values %{ $run{plan} }) {
        push @{ $run{plan}{node} }, shape(\%bytes, HANDSHAKES);
    }
    return \%run;
}

# Every order of magnitude as often as any other, and the least and the most now and then.
sub size {
    my $kind = rand;
    return 1 if $kind < 0.05;
    return LARGEST if $kind > 0.97;
    return int exp rand log LARGEST;
}

# In the handshakes about as often as behind them.
sub place {
    my ($bytes, $handshakes) = @_;
    my $direction = rand() < 0.5 ? 'out' : 'back';
    my $kind = rand;
    return ($direction, int($kind < 0.4 ? rand($handshakes / 4) : $kind < 0.55 ? rand($handshakes) : rand $bytes->{$direction}));
}

# At most some quarter of a second's waiting each: the nodes are not to lose patience, on a machine with much to do either.
sub shape {
    my ($direction, $at) = place(@_);
    my $kind = rand;
    my $text;
    if ($kind < 0.6) {
        my ($least, $most) = @{ ([1, 1], [1, 1], [1, 8], [1, 100], [1, 1460], [1000, 20000])[rand 6] };
        my $wait = (0, 0, 0.1, 1, 10)[rand 5];
        my $count = min(10 ** rand(3.5), $wait ? 200 / ($wait + 1) : 3000);
        $text = sprintf 'pieces@%d:%d,%d,%d,%s', $at, $least, $most, 1 + $count, $wait;
    } elsif ($kind < 0.85) {
        my $wait = (1, 5, 20)[rand 3];
        $text = sprintf 'gather@%d:%d,%d,%d', $at, 10 ** rand 5.5, 1 + rand(200 / $wait), $wait;
    } else {
        $text = sprintf 'pause@%d:%d', $at, 1 + rand 300;
    }
    return "$direction:$text";
}

# What takes until somebody loses patience comes less often.
sub fault {
    my ($direction, $at) = place(@_);
    my $kind = (qw(flip flip flip flip flip lose lose repeat repeat half half half close close close reset reset reset stall dark))[rand 20];
    my $number = $kind eq 'flip' ? ':' . int rand 8 : $kind =~ /lose|repeat/ ? ':' . int(1 + 10 ** rand 4) : '';
    return "$direction:$kind\@$at$number";
}

# Whether no connection can outlive it. What changes bytes of a handshake may hit some that mean nothing, as the version in the
# header of a first record; what breaks off a conversation with EPMD may come when all has been said.
sub is_final {
    my ($run) = @_;
    my ($kind, $offset) = $run->{fault} =~ /:(\w+)\@(\d+)/;
    return $run->{at} eq 'node' && ($kind !~ /flip|lose|repeat/ || $offset >= HANDSHAKES);
}

sub describe_run {
    my ($run) = @_;
    return "seed $run->{seed}: " . join ' ', 'node', $run->{side}, 'connects;',
        (map { @{ $run->{plan}{$_} } ? "$_ @{ $run->{plan}{$_} };" : () } qw(node epmd)),
        map { scalar(@$_) . ' messages, ' . sum(@$_) . ' bytes' . ($_ == $run->{sizes}[0] ? ' and' : '') } @{ $run->{sizes} };
}

1;
