#!/usr/bin/perl
# Every call on guarded connections, between two programs that do what nodes and C nodes do: what is sent arrives, by
# whatever call; what is refused is refused; pollers are told the truth; and on the wire there is TLS alone. Between
# the two is a relay, which keeps what passed and cuts or stops it where asked to.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/../probes";
use Distguard::Tool qw(slurp);
use Pairs qw(pair pair_ok);
use Probes qw(probe_folder);
use Test::More;

pair_ok('calls',    '',              'each writing call against each reading one');
pair_ok('flags',    '',              'MSG_PEEK, MSG_WAITALL, MSG_DONTWAIT, FIONREAD, single bytes');
pair_ok('copies',   '',              'dup, dup2, dup3, F_DUPFD, and the original closed');
pair_ok('children', '',              'neither send nor receive, and end nothing by closing');
pair_ok('ending',   '',              'shutdown of one direction');
pair_ok('refused',  '',              'what would pass by TLS');
pair_ok('early',    '',              'a blocking program sleeps while the handshake waits');
pair_ok('framed',   '',              'a hundred messages in one record, then silence');
pair_ok('framed',   'bytes',         'read byte by byte');
pair_ok('framed',   '',              'records cut into single bytes', 'bytes');
pair_ok('framed',   'bytes',         'both', 'bytes');
pair_ok('calls',    '',              'records cut into single bytes', 'bytes') if $ENV{DISTGUARD_LONG_TESTS};
pair_ok('flood',    '',              'both send until both kernels are full');
pair_ok('stream',   '',              '50 MB both ways, poll');
pair_ok('stream',   'epoll',         '50 MB both ways, level-triggered epoll');
pair_ok('stream',   'epoll-oneshot', '50 MB both ways, EPOLLONESHOT');
pair_ok('stream',   'threads',       '50 MB both ways, blocking, a thread for each');

# A peer that stops. Where, in bytes of one side: the handshake's sizes vary by a few, as signatures do; the client's
# last record has 16000 bytes.
my $whole = pair('stalled', '');
my ($from_client, $from_server) = $whole->{passed} =~ /^passed (\d+) (\d+)$/m;
cmp_ok($from_client // 0, '>', 16000, 'all passes where nothing stops it') or diag explain $whole->{client}, $whole->{passed};
for my $stop (
    ['in the head of the ClientHello',      'client', 3],
    ['in the midst of the ClientHello',     'client', 100],
    ['before the client has finished',      'client', $from_client - 16500],
    ['in the midst of a record',            'client', $from_client - 8000],
    ['one byte before the end of a record', 'client', $from_client - 100],
    ['before any answer',                   'server', 0],
    ['in the midst of the ServerHello',     'server', 50],
    ['in the midst of its certificate',     'server', 500],
) {
    my ($where, $side, $bytes) = @$stop;
    subtest "the $side stops $where, after $bytes bytes" => sub {
        my $pair = pair('stalled', '', $side, $bytes);
        for my $end (qw(client server)) {
            is($pair->{$end}{status}, 0, "the $end sleeps") or diag $pair->{$end}{said};
            like($pair->{$end}{said}, qr/reads in vain: \d+/, 'it was counted');
            note $pair->{$end}{said};
        }
    };
}

my $log = slurp(probe_folder() . '/log');
like($log,   qr/event=admitted .*version=TLSv1\.3/, 'the log tells of TLS 1.3');
unlike($log, qr/event=plaintext/,                   'and of no plaintext');

done_testing;
