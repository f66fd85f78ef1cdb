#!/usr/bin/perl
# distguard status: which processes of the host are guarded and which are not, and why; what their pages tell, on real
# nodes; JSON, metrics and the exit status for monitoring.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Epmd qw(epmd_pid);
use Distguard::Lab::Wait qw(wait_for wait_until);
use JSON::PP qw(decode_json);
use Test::More;

use constant {
    ALL_GUARDED     => 0,
    NOT_ALL_GUARDED => 1,
    EXPIRING        => 2,
    USAGE           => 3,
    NO_ANSWER       => 4,
    NOBODY          => 65534,
    MESSAGE         => 100_000,
};

my $lab = Distguard::Lab->new;
my ($alpha, $beta, $gamma) = map { $lab->host($_) } qw(alpha beta gamma);
plan skip_all => 'nothing is guarded without the library' if !$alpha->shim_env;

# The tool's answer: exit status and, parsed, what it printed.
sub status {
    my (@arguments) = @_;
    my $run = $alpha->run($lab->tool, 'status', @arguments);
    my $answer = eval { decode_json($run->out) } // die $run->describe;
    return ($answer, $run->status);
}

sub of_pid {
    my ($answer, $pid) = @_;
    my ($found) = grep { $_->{pid} == $pid } @{ $answer->{processes} };
    return $found;
}

# What is told of a process, alone.
sub page_of { (status($_[0]))[0]{processes}[0] }

sub connections {
    my ($page, $role) = @_;
    return grep { $_->{role} eq ($role // 'distribution') } @{ $page->{connections} };
}

# Says its name as a node does: to ADDRESS PORT as NAME.
my $name_message = <<'END';
use IO::Socket::INET;
our $socket = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => $ARGV[1]) or die $@;
syswrite $socket, pack 'n/a*', 'N' . pack 'Q> N n/a*', 0x0d17fffbd, 1, $ARGV[2];
$| = 1;
print "sent\n";
sleep 1000;
END

sub distribution_port {
    my ($node) = @_;
    my ($name) = $node->name =~ /(.*)@/;
    return ($node->call("erl_epmd:port_please(\"$name\", {127,0,0,1})") =~ /^\{port,(\d+),/)[0] // die 'no port';
}

my $a = $alpha->node('a', long => 1, shim => 1, args => [qw(-connect_all false)]);
my $b = $beta->node('b', long => 1, shim => 1, args => [qw(-connect_all false)]);

subtest 'a host whose nodes and EPMDs are guarded' => sub {
    my ($answer, $status) = status();
    is($status, ALL_GUARDED, 'exit status');
    is($answer->{verdict}, 'guarded', 'verdict');
    is($answer->{format}, 1, 'format');
    is_deeply([ sort map { $_->{program} } @{ $answer->{processes} } ], [qw(beam.smp beam.smp epmd epmd)], 'all are seen')
        or diag explain $answer;
    is(scalar(grep { $_->{guarded} } @{ $answer->{processes} }), 4, 'and guarded');

    my $page = of_pid($answer, $a->pid);
    is($page->{mode}, 'require', 'mode');
    is($page->{policy}{profile}, 'lab', 'profile');
    is($page->{policy}{files}[0]{path}, $alpha->conf_file, 'policy file');
    ok(!$page->{policy}{changed}, 'which has not changed');
    is($page->{certificate}{path}, $lab->pki->certificate_of($alpha) . '.pem', 'certificate');
    cmp_ok($page->{certificate}{days_left}, '>=', 88, 'its days');
    ok($page->{require_is_safe}, 'require is safe');
};

subtest 'listeners, as asked for and as bound' => sub {
    my $port = distribution_port($a);
    my @listeners = @{ page_of($a->pid)->{listeners} };
    is_deeply(\@listeners, [{ role => 'distribution', asked => "0.0.0.0:$port", bound => "10.77.0.1:$port" }], "the node's")
        or diag explain \@listeners;
    my @epmd = map { $_->{bound} } @{ page_of(epmd_pid($alpha))->{listeners} };
    ok((grep { $_ eq '10.77.0.1:4369' } @epmd) && (grep { $_ eq '127.0.0.1:4369' } @epmd), "EPMD's") or diag "@epmd";
};

subtest 'an epmd -daemon, which closes every descriptor it can' => sub {
    my $pid = epmd_pid($alpha);
    like(Distguard::Lab::Process::slurp("/proc/$pid/cmdline"), qr/-daemon/, 'is what erl has started');
    ok(page_of($pid)->{guarded}, 'is seen');
};

subtest 'a connection, while it lasts' => sub {
    is($a->call('net_kernel:connect_node(' . $b->atom . ')'), 'true', 'two nodes meet');
    my ($out) = connections(page_of($a->pid));
    my ($in)  = connections(page_of($b->pid));
    is($out->{direction}, 'out', 'one has connected');
    is($in->{direction}, 'in', 'to the other');
    is($out->{node}, $b->name, 'each knows the node');
    is($in->{node}, $a->name, 'at the other end');
    like($out->{peer}, qr/^10\.77\.0\.2:\d+$/, 'its address');
    like($in->{certificate}, qr/DNS:alpha\b/, 'its certificate');
    is($in->{state}, 'open', 'state');
    is($out->{tls}, 'TLSv1.3', 'TLS version');
    like($out->{cipher}, qr/^TLS_/, 'cipher');
    like($out->{group}, qr/\w/, 'group') or diag explain $out;
    like($out->{since}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, 'since when');
    is($out->{policy_generation}, 1, 'by which policy');

    my $before = $out->{bytes_out};
    $a->call('rpc:call(' . $b->atom . ', erlang, byte_size, [binary:copy(<<"x">>, ' . MESSAGE . ')])');
    my ($sent)     = connections(page_of($a->pid));
    my ($received) = connections(page_of($b->pid));
    cmp_ok($sent->{bytes_out} - $before, '>=', MESSAGE, 'the bytes of a message are counted');
    cmp_ok($sent->{bytes_out} - $before, '<', MESSAGE + 2000, 'once') or diag explain $sent;
    is($received->{bytes_in}, $sent->{bytes_out}, 'and both ends count the same') or diag explain [ $sent, $received ];

    cmp_ok($sent->{records_out}, '>=', MESSAGE / 16_384, 'in TLS records');
    is($received->{records_in}, $sent->{records_out}, 'as many as the peer has opened');
    is($sent->{key_updates}, 0, 'under the first keys');

    my $totals = page_of($a->pid)->{totals};
    is($totals->{admitted}{distribution}{out}, 1, 'one is admitted');
    $a->call('erlang:disconnect_node(' . $b->atom . ')');
    ok(wait_for(10, sub { !connections(page_of($a->pid)) && !connections(page_of($b->pid)) }), 'then it is gone')
        or diag explain page_of($a->pid);
    cmp_ok(page_of($a->pid)->{totals}{bytes_out}, '>=', $sent->{bytes_out}, 'but its bytes stay in the totals');
};

subtest 'who is not guarded, and why' => sub {
    my $plain = $gamma->node('plain', long => 1, args => [qw(-connect_all false)]);
    my $off = $gamma->node('off', long => 1, env => { $gamma->shim_env, DISTGUARD => 'off' });
    my ($answer, $status) = status();
    is($status, NOT_ALL_GUARDED, 'exit status');
    is($answer->{verdict}, 'not_guarded', 'verdict');
    my %why = map { $_->{pid} => $_ } @{ $answer->{processes} };
    ok(!$why{ $plain->pid }{guarded}, 'a node without the library');
    like($why{ $plain->pid }{why_not}, qr/LD_PRELOAD.*does not name libdistguard\.so/, 'and why');
    ok(!$why{ $off->pid }{guarded}, 'a node with DISTGUARD=off');
    like($why{ $off->pid }{why_not}, qr/DISTGUARD=off/, 'and why');
    ok($why{ $a->pid }{guarded}, 'the others are');
    (undef, $status) = status($a->pid, $b->pid);
    is($status, ALL_GUARDED, 'asked for those alone, all is well');

    my $stranger = $gamma->spawn($^X, '-e', $name_message, $alpha->ip, distribution_port($a), $plain->name);
    ok(wait_for(10, sub { page_of($a->pid)->{totals}{refused}{plaintext} }), 'a peer without TLS is refused, and counted')
        or diag $stranger->describe, explain page_of($a->pid);
    my $page = page_of($a->pid);
    my ($refusal) = @{ $page->{refusals} };
    is($refusal->{address}, $gamma->ip, 'and named: where from');
    is($refusal->{node}, $plain->name, 'which node');
    is($refusal->{class}, 'plaintext', 'the reason');
    $stranger->kill;
    $_->stop for $plain, $off;
};

# Programs that do nothing, under the names that count.
sub pretend {
    my ($name, %option) = @_;
    my $path = $gamma->dir . "/$name";
    $gamma->must('cp', '/bin/sleep', $path) if !-e $path;
    $gamma->must('chmod', $option{mode}, $path) if $option{mode};
    my $process = $gamma->spawn({ env => $option{env} // {} }, @{ $option{as} // [] }, $path, 'infinity');
    wait_until("$name runs", 10, sub { (readlink("/proc/${\$process->pid}/exe") // '') eq $path });
    return $process;
}

sub why_not {
    my ($process, $expected, $what) = @_;
    my ($answer, $status) = status($process->pid);
    my $found = $answer->{processes}[0];
    ok($status == NOT_ALL_GUARDED && !$found->{guarded}, $what);
    like($found->{why_not}, $expected, 'and why');
    $process->kill;
}

subtest 'other reasons' => sub {
    why_not(pretend('beam.missing', env => { LD_PRELOAD => '/nowhere/libdistguard.so' }),
        qr{LD_PRELOAD names /nowhere/libdistguard\.so, which is not there}, 'a library that is missing');
    SKIP: {
        skip 'there is no other user here', 2 if !$lab->has_users;
        why_not(pretend('beam.setuid', mode => '4755', env => { $gamma->shim_env },
                as => ['setpriv', '--reuid', NOBODY, '--regid', NOBODY, '--clear-groups']),
            qr/loader has dropped.*setuid/, 'a program that is setuid');
    }
    $gamma->shim(conf => { mode => 'off' });
    why_not(pretend('beam.off', env => { $gamma->shim_env }), qr/profile lab of \S+shim\.conf has mode = "off"/, 'mode off');
    $gamma->shim(conf => { programs => ['epmd'] });
    why_not(pretend('beam.other', env => { $gamma->shim_env }), qr/programs.*leaves beam\.other out/, 'a program left out');
    $gamma->shim;
    why_not(pretend('something', env => { $gamma->shim_env }), qr/DISTGUARD_PROGRAMS/, 'a program of another name');
    my $chosen = pretend('something', env => { $gamma->shim_env, DISTGUARD_PROGRAMS => 'other:something' });
    my $found = of_pid((status())[0], $chosen->pid);
    like($found->{why_not} // '', qr/programs.*leaves something out/, 'one that its environment names is found')
        or diag explain $found;
    $chosen->kill;
    my $unchosen = pretend('something', env => { $gamma->shim_env });
    ok(!of_pid((status())[0], $unchosen->pid), 'others are not');
    $unchosen->kill;
};

subtest 'somebody who may not look' => sub {
    plan skip_all => 'there is no other user here' if !$lab->has_users;
    my $run = $alpha->run('setpriv', '--reuid', NOBODY, '--regid', NOBODY, '--clear-groups', $lab->tool, 'status');
    is($run->status, NOT_ALL_GUARDED, 'exit status');
    my $found = of_pid(decode_json($run->out), $a->pid);
    is($found->{guarded}, undef, 'is not told what cannot be seen') or diag $run->describe;
    like($found->{why_not}, qr/not permitted.*root/, 'but that it cannot');
};

subtest 'somebody who looks at what is his own' => sub {
    plan skip_all => 'there is no other user here' if !$lab->has_users;
    my @as   = ('setpriv', '--reuid', NOBODY, '--regid', NOBODY, '--clear-groups');
    my $own  = $lab->pki->certificate_of($gamma);
    my $key  = $lab->temp_path('key');
    my $path = $gamma->dir . '/beam.own';
    $gamma->must('install', '-o', NOBODY, '-m', '0600', "$own.key", $key);
    $gamma->must('install', '-m', '0644', "$own.pem", "$key.pem");
    $gamma->must('install', '-m', '0644', $lab->pki->ca, "$key.ca");
    $gamma->must('cp', $^X, $path);
    $gamma->shim(conf => { tls => { private_key => $key, certificate => "$key.pem", ca => "$key.ca" } });
    my $process = $gamma->spawn({ env => { $gamma->shim_env } }, @as, $path, '-e', '$| = 1; print "up\n"; sleep 1000');
    wait_until('it is up', 10, sub { $process->out =~ /up/ or !$process->running && die $process->describe });
    my $run = $alpha->run(@as, $lab->tool, 'status', $process->pid);
    is($run->status, ALL_GUARDED, 'needs no root') or diag $run->describe;
    ok(!decode_json($run->out)->{processes}[0]{policy}{changed}, 'not for the policy either');
    $process->kill;
    $gamma->shim;
};

subtest 'a policy that has changed' => sub {
    my $path = $gamma->shim;
    my $c = $gamma->node('c', long => 1, shim => 1);
    ok(!page_of($c->pid)->{policy}{changed}, 'not yet');
    open(my $file, '>>', $path) or die $!;
    print {$file} "# another comment\n";
    close $file;
    ok(page_of($c->pid)->{policy}{changed}, 'is told') or diag explain page_of($c->pid)->{policy};
    unlink $path;
    ok(page_of($c->pid)->{policy}{files}[0]{changed}, 'and so is one that is gone');
    $c->stop;
};

subtest 'a policy that is read again' => sub {
    is($a->call('net_kernel:connect_node(' . $b->atom . ')'), 'true', 'with a connection');
    $alpha->shim(conf => { log => { level => 'debug' } });
    my $port = distribution_port($a);
    my $policy;
    ok(wait_for(20, sub {
        $alpha->must($^X, '-MIO::Socket::INET', '-e', 'IO::Socket::INET->new(PeerAddr => shift, PeerPort => shift)', $alpha->ip, $port);
        $policy = page_of($a->pid)->{policy};
        $policy->{generation} == 2;
    }), 'its generation') or diag explain($policy), $alpha->log;
    ok(!$policy->{changed}, 'it is what the file says again');
    my $page = page_of($a->pid);
    is($page->{totals}{reloads}, 1, 'reloads');
    is_deeply([ map { $_->{policy_generation} } grep { $_->{state} eq 'open' } connections($page) ], [1],
        'the connection is of an older one') or diag explain $page->{connections};
    open(my $file, '>>', $alpha->conf_file) or die $!;
    print {$file} "nonsense\n";
    close $file;
    ok(wait_for(20, sub {
        $alpha->must($^X, '-MIO::Socket::INET', '-e', 'IO::Socket::INET->new(PeerAddr => shift, PeerPort => shift)', $alpha->ip, $port);
        $page = page_of($a->pid);
        $page->{totals}{failed_reloads} > 0;
    }), 'one that cannot be read is counted') or diag explain $page->{totals};
    is($page->{policy}{generation}, 2, 'and changes nothing');
    ok($page->{policy}{changed}, 'but that the file is another');
    $alpha->shim;
    $a->call('erlang:disconnect_node(' . $b->atom . ')');
};

subtest 'a log that takes nothing' => sub {
    $gamma->shim(conf => { log => { target => '/nowhere/distguard.log' } });
    my $mute = $gamma->node('mute', long => 1, shim => 1);
    cmp_ok(page_of($mute->pid)->{totals}{log_lines_dropped}, '>=', 1, 'is told') or diag explain page_of($mute->pid);
    $mute->stop;
    $gamma->shim;
};

subtest 'peers that speak plaintext, on the way to require' => sub {
    my $delta = $lab->host('delta');
    $delta->shim(conf => { mode => 'allow' });
    my $e   = $delta->node('e', long => 1, shim => 1, args => [qw(-connect_all false)]);
    my $old = $gamma->node('old', long => 1, args => [qw(-connect_all false)]);
    ok(page_of($e->pid)->{require_is_safe}, 'there are none yet');
    is($old->call('net_kernel:connect_node(' . $e->atom . ')'), 'true', 'a node without the library comes');
    my $page = page_of($e->pid);
    my ($peer) = @{ $page->{plaintext_peers} };
    is($peer->{address}, $gamma->ip, 'it is named: address');
    is($peer->{node}, $old->name, 'node');
    is("$peer->{role} $peer->{direction} $peer->{rule} $peer->{count}", 'distribution in allow 1', 'and counted');
    is($page->{totals}{plaintext}{allow}, 1, 'in the totals too');
    is((connections($page))[0]{state}, 'plaintext', 'its connection is listed');
    ok(!$page->{require_is_safe}, 'require is not safe');
    my $run = $alpha->run('script', '--quiet', '--return', '--command', $lab->tool . ' status ' . $e->pid, '/dev/null');
    like($run->out, qr/require is not safe yet.*\n\s+10\.77\.0\.3 +old\@10\.77\.0\.3 /, 'people are told who needs a step')
        or diag $run->out;
    $old->stop;
    ok(wait_for(10, sub { !connections(page_of($e->pid)) }), 'when it is gone');
    is(scalar @{ page_of($e->pid)->{plaintext_peers} }, 1, 'it is remembered');
    $e->stop;
};

subtest 'a certificate that expires' => sub {
    my $short = $lab->pki->issue('short', '--dns', 'gamma', '--dns', 'gamma.lab', '--ip', $gamma->ip, '--days', 3);
    $gamma->shim(conf => { tls => { certificate => "$short.pem", private_key => "$short.key" } });
    my $c = $gamma->node('d', long => 1, shim => 1);
    my ($answer, $status) = status($c->pid, $a->pid);
    is($status, EXPIRING, 'exit status');
    is($answer->{verdict}, 'expiring', 'verdict');
    like(of_pid($answer, $c->pid)->{certificate}{days_left}, qr/^[23]$/, 'in how many days');
    my $sleeper = pretend('beam.plain');
    (undef, $status) = status($c->pid, $sleeper->pid);
    is($status, NOT_ALL_GUARDED, 'what is not guarded counts more');
    $sleeper->kill;
    $c->stop;
};

# A strict reader of the text format: HELP and TYPE once for each family, before its samples, which stand together;
# names and labels as they must be; counters end in _total; no sample twice.
sub parse_metrics {
    my ($text) = @_;
    my (%type, %samples, $family);
    for my $line (split /\n/, $text) {
        if ($line =~ /^# HELP ([a-z_]+) \S.*$/) {
            die "HELP of $1 twice" if $type{$1};
            ($family, $type{$1}) = ($1, 'none');
        } elsif ($line =~ /^# TYPE ([a-z_]+) (counter|gauge)$/) {
            my ($name, $type) = ($1, $2);
            die "TYPE of $name without its HELP" if $name ne $family || $type{$name} ne 'none';
            die "counter or not, by its name: $name" if ($type eq 'counter') != ($name =~ /_total$/);
            $type{$name} = $type;
        } elsif ($line =~ /^([a-z_]+)\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\} (\d+)$/) {
            die "$1 outside of its family" if $1 ne $family || $type{$1} eq 'none';
            die "$1\{$2} twice" if exists $samples{$1}{$2};
            $samples{$1}{$2} = $3;
        } else {
            die "no metric: $line";
        }
    }
    return \%samples;
}

subtest 'metrics' => sub {
    is($a->call('net_kernel:connect_node(' . $b->atom . ')'), 'true', 'with a connection');
    my $run = $alpha->run($lab->tool, 'status', '--prometheus');
    like($run->out, qr/\n\z/, 'end with a newline');
    my $metrics = eval { parse_metrics($run->out) } // {};
    is($@, '', 'are well-formed') or diag $run->out;
    my $process = sprintf 'pid="%d",program="beam.smp"', $a->pid;
    is($metrics->{distguard_guarded}{$process}, 1, 'guarded');
    is($metrics->{distguard_connections}{qq($process,role="distribution",direction="out",state="open")}, 1, 'connections');
    cmp_ok($metrics->{distguard_bytes_total}{qq($process,direction="out")}, '>', MESSAGE, 'bytes');
    is($metrics->{distguard_refused_total}{qq($process,reason="plaintext")}, 1, 'refusals by reason');
    cmp_ok($metrics->{distguard_certificate_expiry_timestamp_seconds}{$process}, '>', time + 80 * 86_400, 'expiry');
    SKIP: {
        skip 'promtool is not here', 1 if system('command -v promtool >/dev/null') != 0;
        my $check = $alpha->run({ input => $run->out }, qw(promtool check metrics));
        is($check->status, 0, 'promtool agrees') or diag $check->describe;
    }
    $a->call('erlang:disconnect_node(' . $b->atom . ')');
};

subtest 'for people' => sub {
    my $run = $alpha->run('script', '--quiet', '--return', '--command', $lab->tool . ' status ' . $a->pid, '/dev/null');
    is($run->status, ALL_GUARDED, 'exit status');
    like($run->out, qr/^beam\.smp \(${\$a->pid}\): guarded, mode require, since/m, 'a block for a process');
    like($run->out, qr/^  listens +10\.77\.0\.1:\d+ for distribution \(the program asked for 0\.0\.0\.0:\d+\)/m, 'listeners');
    like($run->out, qr/require is safe: no plaintext peer since/, 'a sentence about require');
    like($run->out, qr/^  refused +plaintext 1/m, 'refusals');
    diag $run->describe if !Test::More->builder->is_passing;
};

# A guarded program that closes every descriptor it can, and later sends what begins a distribution connection.
my $closer = <<'END' . $name_message;
use POSIX ();
POSIX::close($_) for 3 .. 4096;
$| = 1;
print "closed\n";
<STDIN>;
END

sub page_descriptors {
    my ($pid) = @_;
    return grep { (readlink($_) // '') =~ /distguard-status/ } glob "/proc/$pid/fd/*";
}

# The words of a setting in an example's unit.
sub unit_setting {
    my ($unit, $name) = @_;
    my ($words) = Distguard::Lab::Process::slurp($lab->root . "/examples/systemd/$unit") =~ /^$name=(.*)$/m;
    return split ' ', $words;
}

subtest 'a program that closes every descriptor' => sub {
    my $port = distribution_port($a);
    my $path = $gamma->dir . '/beam.closer';
    $gamma->shim;
    $gamma->must('cp', $^X, $path);
    pipe(my $input, my $go) or die $!;
    my $process = $gamma->start_process([$path, '-e', $closer, $alpha->ip, $port, 'c@10.77.0.3'], env => { $gamma->shim_env },
        pipes => { 0 => $input });
    wait_until('it has closed them', 10, sub { $process->out =~ /closed/ or !$process->running && die $process->describe });
    is(scalar page_descriptors($process->pid), 0, 'its page has no descriptor');
    ok(page_of($process->pid)->{guarded}, 'and is found by its mapping') or diag explain page_of($process->pid);
    my @capable = map { lc =~ s/^cap_/+/r } unit_setting('distguard-metrics.service', 'CapabilityBoundingSet');
    my $figures = $gamma->run('setpriv', '--bounding-set=' . join(',', '-all', @capable), $lab->tool, qw(status --prometheus),
        $process->pid);
    like($figures->out, qr/^distguard_guarded\{pid="${\$process->pid}",program="beam\.closer"\} 1$/m,
        'also with the capabilities of distguard-metrics.service') or diag $figures->describe;
    syswrite $go, "\n";
    wait_until('it has sent', 10, sub { $process->out =~ /sent/ or !$process->running && die $process->describe });
    is(scalar page_descriptors($process->pid), 1, 'at the next connection it gets another');
    is(scalar connections(page_of($process->pid)), 1, 'and tells of the connection');
    $process->kill;
};

subtest 'mistakes' => sub {
    my %mistakes = ('no number' => ['x'], 'an unknown option' => ['--yaml'], 'less than nothing' => ['0'],
        'two forms at once' => [qw(--json --prometheus)]);
    for my $what (sort keys %mistakes) {
        my $run = $alpha->run($lab->tool, 'status', @{ $mistakes{$what} });
        is($run->status, USAGE, $what) or diag $run->describe;
    }
    my $run = $alpha->run($lab->tool, 'status', 4_000_000);
    is($run->status, NO_ANSWER, 'a process that is not there');
    like($run->err, qr/4000000: there is none/, 'which is said');
};

done_testing;
