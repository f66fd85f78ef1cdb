#!/usr/bin/perl
# What the documents say about the log is what the program says: reasons and events that are explained exist, and every
# event is explained.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Find qw(find);
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Tool qw(tool folder spew slurp run describe);
use Test::More;

my $root = abs_path("$FindBin::Bin/../..");

# Sources as one text, with adjacent string literals joined and quotes unescaped.
sub text_of {
    my $text = '';
    find({ no_chdir => 1, wanted => sub { $text .= slurp($_) if /\.[ch]$/ } }, map { "$root/$_" } @_);
    $text =~ s/\\\n//g;
    $text =~ s/"\s*"//g;
    return $text =~ s/\\"/"/gr;
}

my $source = text_of(qw(shim policy));

my $page = slurp("$root/docs/troubleshooting.md");
my ($events)  = $page =~ /^## Events\n(.*?)^## /ms;
my ($reasons) = $page =~ /^## Reasons\n(.*)/ms;

my @explained = $events =~ /^\| `(\w+)` \|/mg;
cmp_ok(scalar @explained, '>', 5, 'events are explained');
my %said = map { $_ => 1 } $source =~ /dg_log\([^,;]+,\s*"(\w+)"/g, $source =~ /event=(\w+)/g;
delete $said{EVENT};
is(join(' ', sort @explained), join(' ', sort keys %said), 'those that are logged, and no other');

my $manual = slurp("$root/docs/man/distguard.7");
like($manual, qr/event=$_\b/, "distguard(7) has $_") for sort keys %said;

# "…" stands for what differs: the parts around it must be said.
sub parts_of { return grep { length } map { s/^\s+|\s+$//gr } split /…/, $_[0] }

my @reasons = map { /`([^`]+)`/g } $reasons =~ /^\| (`.*?`) \|/mg;
for my $reason (@reasons) {
    my @missing = grep { index($source, $_) < 0 } parts_of($reason);
    is("@missing", '', $reason);
}

# And what is said of a peer, where the code ends a connection with words of its own, is there to be found.
my $ending = text_of(qw(shim/core/socket shim/core/tls/channel_receive.c shim/core/tls/channel_send.c policy/admit.c));
my @ends   = $ending =~ /\b(?:dg_refuse|dg_audit_refused|dg_channel_fail(?:_alert)?|refuse(?:_name)?|send_away|grant|dg_fail)
    \s*\([^;"]*"([^"]+)"/gx;
cmp_ok(scalar @ends, '>', 40, 'reasons are found in the code');
for my $end (grep { !/^%s|^out of memory$/ } @ends) {
    ok((grep { my $reason = $_; !grep { index($end, $_) < 0 } parts_of($reason) } @reasons), "is explained: $end");
}

# Links lead somewhere.
for my $document (glob "$root/*.md $root/docs/*.md $root/examples/*/README.md") {
    my $folder = $document =~ s{/[^/]*$}{}r;
    for my $link (slurp($document) =~ /\]\(([^)#:]+)(?:#[^)]*)?\)/g) {
        ok(-e "$folder/$link", substr($document, 1 + length $root) . " leads to $link");
    }
}

# The policy for SPIFFE is one, and good with such a certificate.
subtest 'certificates.md' => sub {
    my $folder = folder();
    my ($said) = slurp("$root/docs/certificates.md") =~ /^```\n(tls: .*?)^```/ms;
    run(tool(), qw(pki init), "$folder/pki")->{status} == 0 or die;
    my @names = qw(--dns mq1 --uri spiffe://example.org/rabbitmq/mq1);
    run(tool(), qw(pki issue), "$folder/pki", 'node', @names)->{status} == 0 or die;
    my $policy = $said =~ s{/run/distguard/}{$folder/pki/}gr;
    my $run = run(tool(), 'check', spew("$folder/shim.conf", "version = 1; profiles: { rabbitmq: { $policy }; };"));
    ok($run->{status} == 0, 'the policy for SPIFFE holds') or diag describe($run);
};

# The manual page of the policy has every key that the policy knows.
my $schema = slurp("$root/policy/schema.c");
my $conf   = slurp("$root/docs/man/shim.conf.5");
like($conf, qr/^\.(?:It )?Va .*\Q$_\E\b/m, "shim.conf(5) has $_") for $schema =~ /\.path = "([\w.]+)"/g;

done_testing;
