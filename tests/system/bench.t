#!/usr/bin/perl
# The bench runs: every metric once, for as short as possible (QUICK), with a figure for each carrier. What the figures
# are is nobody's business here.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Tool qw(build folder run slurp describe);
use JSON::PP qw(decode_json);
use Test::More;

plan skip_all => 'not root, and no unprivileged user namespaces here'
    if $> != 0 && run(qw(unshare --user --map-root-user true))->{status} != 0;

my $bench  = "$FindBin::Bin/../bench/run";
my $folder = folder();

sub bench {
    my (%env) = @_;
    my $out = "$folder/result.json";
    unlink $out;
    my $run = run({ patience => 240, env => { BUILD => build(), OUT => $out, TMPDIR => $folder, QUICK => 1, ROUNDS => 1,
        CARRIERS => 'plain distguard', METRICS => undef, MESH => undef, %env } }, $bench);
    $run->{json} = decode_json(slurp($out)) if -e $out;
    return $run;
}

subtest 'every metric' => sub {
    my $run = bench(MESH => '2 3');
    is($run->{status}, 0, 'it ends well') or diag(describe($run));
    my $metrics = $run->{json}{metrics} // {};
    for my $name (qw(exec-ms calls-ns echo-median-us roundtrip-median-us throughput-64-per-second cpu-s-per-gb limit-mb-per-second
        senders-64-per-second connect-ms memory-kib mesh-2-connect-s mesh-2-64-per-second mesh-3-connect-s))
    {
        ok($metrics->{$name}, "$name is measured");
    }
    for my $name (sort keys %$metrics) {
        my $rounds = $metrics->{$name}{rounds};
        is_deeply([ map { "$_: " . scalar @{ $rounds->{$_} } } sort keys %$rounds ], [ 'distguard: 1', 'plain: 1' ],
            "$name has one value for each carrier");
        like($run->{out}, qr/^\Q$metrics->{$name}{label}\E +(?:less|more) /m, "$name is in the table");
    }
    like($run->{out}, qr{^exec of /bin/true, ms .* [+-][\d.]+$}m, 'what an exec costs more is told');
    like($run->{out}, qr/^QUICK: .*\n\z/m, 'and that figures of a run like this are none');
    is_deeply([ glob "$folder/distguard-bench-*" ], [], 'nothing is left in the temporary directory');

    my $picture = run("$FindBin::Bin/../bench/plot", "$folder/result.json");
    like($picture->{out}, qr{^<svg .*>64 B</text>.*: ms for each connection</text>.*</svg>\n\z}s, 'it can be drawn')
        or diag(describe($picture));
};

subtest 'a mesh that is too large for this machine' => sub {
    my $run = bench(CARRIERS => 'plain', METRICS => 'roundtrip mesh', MESH => 1_000_000_000);
    is($run->{status}, 0, 'the rest is measured') or diag(describe($run));
    like($run->{out}, qr/^mesh: left out: .* MESH=\d+ would fit$/m, 'what is left out is said, and why')
        or diag(describe($run));
    is_deeply([ sort keys %{ $run->{json}{metrics} // {} } ], [qw(roundtrip-median-us roundtrip-p99-us)], 'no figures of it');
};

for my $case (
    [ { METRICS  => 'speed' },  qr/METRICS: 'speed' is not one of: cpu exec/ ],
    [ { CARRIERS => 'pigeon' }, qr/CARRIERS: no carrier is called 'pigeon'/ ],
    [ { ROUNDS   => 'many' },   qr/ROUNDS: 'many' is not a number/ ],
    [ { MESH     => '1' },      qr/MESH: '1' is not a number of nodes/ ],
) {
    my ($env, $reason) = @$case;
    my $run = bench(%$env);
    isnt($run->{status}, 0, "refused: @{[ %$env ]}");
    like($run->{err}, $reason, 'and says why') or diag(describe($run));
}

done_testing;
