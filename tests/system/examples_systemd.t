#!/usr/bin/perl
# The units of examples/systemd hold together with what `distguard enable` writes, in systemd's own opinion.
use strict;
use warnings;
use Cwd qw(abs_path);
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Tool qw(tool folder spew slurp run describe);
use File::Path qw(make_path);
use Test::More;

plan skip_all => 'no systemd-analyze here' if !grep { -x "$_/systemd-analyze" } split /:/, $ENV{PATH};

my $examples = abs_path("$FindBin::Bin/../../examples/systemd");
my $tree = folder();
my $etc  = "$tree/etc/systemd/system";

# A tree with the vendor's units as far as ours refer to them, and programs to start.
make_path($etc, "$tree/usr/lib/systemd/system", "$tree/usr/bin", "$tree/bin");
make_path("$tree/opt/greeter/bin");
spew("$tree/$_", "#!/bin/sh\n", 0755) for qw(usr/bin/distguard usr/bin/epmd usr/bin/rabbitmq-server opt/greeter/bin/greeter);
spew("$tree/bin/sh", "\n", 0755);
spew("$etc/rabbitmq-server.service", "[Service]\nExecStart=/usr/bin/rabbitmq-server\n");
spew("$etc/epmd.service", "[Service]\nExecStart=/usr/bin/epmd -systemd\n");
spew("$etc/epmd.socket",  "[Socket]\nListenStream=4369\n");
spew("$etc/$_.target", "[Unit]\n") for qw(basic sysinit shutdown sockets timers network-online multi-user system initrd-root-fs time-sync time-set);
spew("$etc/$_.slice", "[Slice]\n") for qw(system -);
run('cp', '-r', $_, $etc) for glob "$examples/*.service $examples/*.timer $examples/*.d";

sub verify {
    my (@units) = @_;
    return run('systemd-analyze', "--root=$tree", '--man=no', '--recursive-errors=no', 'verify', @units);
}

my $bad = spew("$etc/bad.service", "[Service]\nExecStart=/usr/bin/distguard\nIPAdressDeny=any\n");
like(verify('bad.service')->{err}, qr/IPAdressDeny/, 'systemd-analyze finds a misspelt setting');

make_path("$etc/bad.service.d");
spew("$etc/bad.service.d/50-bad.conf", "[Service]\nRestrictAdressFamilies=AF_UNIX\n");
like(verify('bad.service')->{err}, qr/RestrictAdressFamilies/, 'in a drop-in, too');

for my $path (glob "$examples/*.service $examples/*.timer") {
    my ($unit) = $path =~ m{([^/]+)$};
    my $run = verify($unit);
    ok($run->{status} == 0 && $run->{err} eq '', $unit) or diag describe($run);
}
for my $unit (qw(rabbitmq-server.service epmd.service epmd.socket)) {
    my $run = verify($unit);
    ok($run->{status} == 0 && $run->{err} eq '', "$unit with its second belt") or diag describe($run);
}

# What the second belt leaves must be enough for the library: enable adds no family to it.
for my $belt (glob "$examples/*.service.d/*.conf $examples/greeter.service") {
    like(slurp($belt), qr/^RestrictAddressFamilies=(?=.*\bAF_NETLINK\b)(?=.*\bAF_UNIX\b)/m, "$belt leaves what the library needs");
}

# The line of the metrics unit, with the tool that was built.
{
    my ($line) = slurp("$examples/distguard-metrics.service") =~ /^ExecStart=\/bin\/sh -c '(.*)'$/m;
    my $folder = folder();
    my $run = run({ dir => $folder }, '/bin/sh', '-c', $line =~ s{/usr/bin/distguard}{tool()}er);
    ok($run->{status} == 0, 'the metrics unit succeeds') or diag describe($run);
    like(slurp("$folder/distguard.prom"), qr/^# TYPE distguard_guarded gauge$/m, 'and leaves figures');
    is(join(' ', map { s{.*/}{}r } glob "$folder/*"), 'distguard.prom', 'and nothing else');
}

subtest 'every file is spoken of' => sub {
    my $readme = slurp("$examples/README.md");
    for my $path (glob "$examples/*.service $examples/*.timer $examples/*.d") {
        my ($name) = $path =~ m{([^/]+)$};
        my ($stem, $kind) = $name =~ /^(.+)\.(\w+)$/;
        like($readme, qr/\Q$name\E|`\Q$stem\E\.service`, `\.\Q$kind\E`/, $name);
    }
};

done_testing;
