#!/usr/bin/perl
# The soak runs (tests/soak): for some seconds, in which a node is killed, certificates are replaced, and a connection is
# ended. What it says of speed and growth is for runs that are long enough.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Tool qw(build folder run slurp describe);
use JSON::PP qw(decode_json);
use Test::More;

use constant DURATION => 12;

plan skip_all => 'not root, and no unprivileged user namespaces here'
    if $> != 0 && run(qw(unshare --user --map-root-user true))->{status} != 0;

my $soak   = "$FindBin::Bin/../soak/run";
my $folder = folder();

sub soak {
    my (%env) = @_;
    return run({ patience => 300, env => { DISTGUARD_BUILD => build(), OUT => "$folder/result.json", DURATION => DURATION,
        SPEED => 0.3, SEED => undef, PAUSE => 0.2, DISTGUARD_LAB_PLAIN => undef, %env } }, $soak);
}

subtest 'a short run' => sub {
    my $run = soak();
    is($run->{status}, 0, 'it ends well') or diag(describe($run));
    my $result = -e "$folder/result.json" ? decode_json(slurp("$folder/result.json")) : {};
    my $totals = $result->{totals} // {};
    cmp_ok($totals->{$_} // 0, '>', 0, "$_ > 0: " . ($totals->{$_} // 'not there'))
        for qw(sent received bytes answered companions connects breaks kill rotation disconnect reloads key_updates
            strangers_turned_away refused cpu);
    is($totals->{$_}, 0, "no $_") for qw(lost disorder damaged stuck unexplained died failed_reloads strangers_bytes);
    cmp_ok($totals->{received} + $totals->{cut_off} + $totals->{unknown}, '>', 0.5 * $totals->{sent}, 'most of it arrives');
    is_deeply([grep { !$_->{good} } @{ $result->{judgement} }], [], 'the judgement');
    like($run->{out}, qr/^\Q$_\E +\d/m, "the table has $_")
        for 'messages sent', 'messages received', 'lost', 'connections made, ended', 'nodes killed, stopped',
        'rotations, policies',
        'KeyUpdates', 'strangers turned away';
    like($run->{out}, qr/^beam alpha +\d+ +\d+ .*\d$/m, 'and the descriptors and memory of a node');
    like($run->{out}, qr/^0:\d\d of 0:@{[DURATION]}  .* sent, 0 lost  .*$/m, 'progress is told in lines');
    unlike($run->{out}, qr/\r/, 'which nothing rewrites in a pipe');
    is($run->{err}, '', 'nothing else is said');
    my $svg = slurp("$folder/result.svg");
    like($svg, qr/\A<svg [^>]*>.*<path .*<\/svg>\n\z/s, 'there is a plot');
    is(scalar(() = $svg =~ /\bNaN\b|\binf\b/gi), 0, 'of figures alone');
};

for my $case (
    [{ DURATION => 'long' }, qr/DURATION: 'long' is not a number of seconds/],
    [{ SPEED => 'fast' },    qr/SPEED: 'fast' is neither a factor/],
    [{ SEED => 'x' },        qr/SEED: 'x' is not a number/],
    [{ PAUSE => 'x' },       qr/PAUSE: 'x' is not a number/],
) {
    my ($env, $reason) = @$case;
    my $run = soak(%$env);
    isnt($run->{status}, 0, "refused: @{[%$env]}");
    like($run->{err}, $reason, 'and says why') or diag(describe($run));
}

done_testing;
