#!/usr/bin/perl
# examples/kubernetes and examples/container: pods as the manifest and the image describe them. Each is a host of the
# laboratory with the user, the groups, the rights, the read-only root, the environment and the files that kubelet would
# give it, cert-manager's among them; and a renewed certificate comes as kubelet brings it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Installed qw(own_folders install_library elixir_release);
use Distguard::Lab::Process;
use Distguard::Lab::Wait qw(wait_for wait_until);
use JSON::PP qw(decode_json);
use Test::More;

use constant { PATIENCE => 60, DEFAULT_MODE => 0644, READABLE_BY_FSGROUP => 0440 };

my $lab = Distguard::Lab->new;
plan skip_all => 'YAML::XS is not there (Debian: libyaml-libyaml-perl)' if !eval { require YAML::XS };
plan skip_all => 'a pod has a user and groups of its own, which takes root' if !$lab->has_users;
plan skip_all => 'Elixir is not installed' if system('command -v mix >/dev/null') != 0;
plan skip_all => 'all of it is about the library' if Distguard::Lab::Host::PLAIN;

# --- what the manifest says ---

my %object = map { $_->{kind} => $_ } YAML::XS::LoadFile($lab->root . '/examples/kubernetes/greeter.yaml');
is(join(' ', sort keys %object), 'Certificate ConfigMap Service StatefulSet', 'the manifest has its objects');

my $set       = $object{StatefulSet}{spec};
my $pod       = $set->{template}{spec};
my $container = $pod->{containers}[0];
my ($volume)  = grep { $_->{projected} } @{ $pod->{volumes} };
my ($mount)   = grep { $_->{name} eq $volume->{name} } @{ $container->{volumeMounts} };
my ($map, $secret) = map { $volume->{projected}{sources}[$_] } 0, 1;

is($set->{serviceName}, $object{Service}{metadata}{name}, 'the pods get their names by the headless service');
is($object{Service}{spec}{clusterIP}, 'None', 'which is headless');
is_deeply($object{Service}{spec}{selector}, $set->{template}{metadata}{labels}, 'and theirs');
is($map->{configMap}{name}, $object{ConfigMap}{metadata}{name}, 'they have the policy');
is($secret->{secret}{name}, $object{Certificate}{spec}{secretName}, 'and the certificate');

# --- what the image says ---

my $containerfile = Distguard::Lab::Process::slurp($lab->root . '/examples/container/Containerfile');
my ($user, $group) = $containerfile =~ /^USER (\d+):(\d+)$/m;
my %env = map { split /=/, $_, 2 } map { split ' ' } $containerfile =~ /^ENV (.*)$/mg;
my @command = map { @{ decode_json($_) } } $containerfile =~ /^(?:ENTRYPOINT|CMD) (.*)$/mg;
is_deeply([$user, $group], [@{ $pod->{securityContext} }{qw(runAsUser runAsGroup)}], 'the image and the manifest mean the same user');
is($container->{readinessProbe}{exec}{command}[0], $command[0], 'and the same program');

subtest 'the image has the libraries that its programs need' => sub {
    my ($release) = $containerfile =~ /^FROM debian:(\w+)-slim$/m;
    my ($ours) = Distguard::Lab::Process::slurp('/etc/os-release') =~ /^VERSION_CODENAME=(\w+)$/m;
    plan skip_all => "this is no Debian $release" if ($ours // '') ne $release;
    my ($runtime) = $containerfile =~ /^FROM debian:bookworm-slim\n(.*)/ms;
    my %installed = map { $_ => 1 } $runtime =~ /\b(lib[\w.+-]+|zlib1g)\b/g;
    my ($beam) = glob '/usr/lib/erlang/erts-*/bin/beam.smp';
    my $dynamic = $lab->must('objdump', '-p', (map { $lab->build . "/$_" } qw(libdistguard-core.so distguard)), $beam, '/usr/bin/epmd');
    my %needed = map { $_ => 1 } $dynamic =~ /^\s*NEEDED\s+(\S+)$/mg;
    # libc's own are there, and so is what is linked to libc alone.
    delete @needed{ grep { /^(libc|libm|ld-linux.*)\.so/ } keys %needed };
    for my $library (sort keys %needed) {
        my ($package) = $lab->must('sh', '-c', 'dpkg -S "*/$1" | head -1', '-', $library) =~ /^([^:]+):/;
        ok($package eq 'libgcc-s1' || $installed{$package}, "$library of $package");
    }
};

# --- pods ---

# What kubelet makes of the projected volume: a folder of its own for each state, and links that lead there by way of one
# that is swapped.
sub project {
    my ($host, $state, $certificate) = @_;
    my $volume = $host->dir . '/volume';
    my $path_of = {
        'tls.crt' => "$certificate.pem", 'tls.key' => "$certificate.key", 'ca.crt' => $lab->pki->ca,
    };
    my @files = map { [$_, $object{ConfigMap}{data}{$_}] } keys %{ $object{ConfigMap}{data} };
    push @files, map { [$_->{path}, Distguard::Lab::Process::slurp($path_of->{ $_->{key} }), $_->{mode}] } @{ $secret->{secret}{items} };

    my $fs_group = $pod->{securityContext}{fsGroup};
    $host->must('mkdir', '-p', "$volume/..$state");
    for my $file (@files) {
        my ($name, $content, $mode) = @$file;
        $mode = sprintf '%o', (defined $mode ? oct $mode : DEFAULT_MODE) | READABLE_BY_FSGROUP;
        $host->must({ input => $content }, 'install', '-m', $mode, '-g', $fs_group, '/dev/stdin', "$volume/..$state/$name");
        $host->must('ln', '-sfn', "..data/$name", "$volume/$name");
    }
    $host->must('sh', '-ec', 'ln -s "..$2" "$1/..next" && mv -T "$1/..next" "$1/..data"', '-', $volume, $state);
    return $volume;
}

my $made = elixir_release($lab);
my ($name, $namespace) = ($set->{serviceName}, 'default');
my @pods = map { $lab->host("$name-$_") } 0, 1;
my @names = map { $_->name . ".$name.$namespace.svc.cluster.local" } @pods;
my $certificate = $lab->pki->issue('first', map { ('--dns', $_) } @{ $object{Certificate}{spec}{dnsNames} });

# Before the pods have a /tmp of their own: the checkout may be below it.
my $capture = $pods[0]->capture;

for my $at (0, 1) {
    my $host = $pods[$at];
    own_folders($host, qw(/etc /usr/local /opt));
    install_library($host);
    $host->must('cp', '-r', $made, '/opt/greeter');
    my $hosts = join '', "127.0.0.1 localhost\n", map { $pods[$_]->ip . " $names[$_] " . $pods[$_]->name . "\n" } 0, 1;
    $host->must({ input => $hosts }, 'sh', '-c', 'cat >"$0"', $host->dir . '/hosts');
    my $projected = project($host, 'one', $certificate);
    $host->must('sh', '-ec', <<'    END', '-', $host->dir . '/hosts', $projected, $mount->{mountPath});
        mount --bind "$1" /etc/hosts
        mkdir "$3"
        mount -t tmpfs -o mode=1777 tmp /tmp
        for part in /etc /usr/local /opt /; do mount -o remount,bind,ro "$part"; done
        mount --bind "$2" "$3"
    END
}

sub in_pod {
    my (@argv) = @_;
    my %all = (%env, RELEASE_COOKIE => 'ONEFORTHERELEASE');
    return ('setpriv', '--reuid', $user, '--regid', $group, '--groups', $pod->{securityContext}{fsGroup},
        qw(--bounding-set=-all --inh-caps=-all --no-new-privs), 'env', (map {"$_=$all{$_}"} sort keys %all), @argv);
}

sub rpc { my ($host, $expression) = @_; return $host->run(in_pod($command[0], 'rpc', $expression)) }

sub is_rpc {
    my ($host, $expression, $expected, $what) = @_;
    my $run = rpc($host, $expression);
    is($run->out, "$expected\n", $what) or diag $run->describe;
}

my @server = map { $_->spawn(in_pod(@command)) } @pods;

for my $at (0, 1) {
    my $probe;
    ok(wait_for(PATIENCE, sub {
        $probe = $pods[$at]->run(in_pod(@{ $container->{readinessProbe}{exec}{command} }));
        $probe->status == 0;
    }), "$names[$at] is ready, by its probe") or diag $probe->describe, $server[$at]->describe;
}
is($pods[0]->run(in_pod('touch', '/opt/greeter/x'))->status, 1, 'its root cannot be written');
is($pods[0]->run(in_pod('stat', '-L', '-c', '%u %a', "$mount->{mountPath}/tls.key"))->out, "0 440\n", 'the key is root\'s and the group\'s');

is_rpc($pods[0], qq(IO.inspect(Node.connect(:"greeter\@$names[1]"))), 'true', 'the pods join');
is_rpc($pods[0], qq(IO.puts(Greeter.greet(:"greeter\@$names[1]"))), "greeter\@$names[1] greets greeter\@$names[0]", 'and call each other');

subtest 'cert-manager renews the certificate' => sub {
    my $renewed = $lab->pki->issue('second', map { ('--dns', $_) } @{ $object{Certificate}{spec}{dnsNames} });
    project($_, 'two', $renewed) for @pods;
    for my $at (0, 1) {
        ok(wait_for(PATIENCE, sub { rpc($pods[$at], ':ok'); $server[$at]->err =~ /event=reloaded .*generation=2/ }), "$names[$at] takes it, as its log says")
            or diag $server[$at]->describe;
    }
    is_rpc($pods[1], qq(IO.inspect(Node.disconnect(:"greeter\@$names[0]"))), 'true', 'they part');
    is_rpc($pods[1], qq(IO.puts(Greeter.greet(:"greeter\@$names[0]"))), "greeter\@$names[0] greets greeter\@$names[1]", 'and meet again');
};

subtest 'between the pods' => sub {
    my @streams = grep { length $_->{bytes} && $_->{from} =~ s/ .*//r ne $_->{to} =~ s/ .*//r } $capture->stop;
    cmp_ok(scalar @streams, '>=', 4, 'there were connections');
    is_deeply([map { Distguard::Lab::Capture::not_tls($_->{bytes}) // () } @streams], [], 'there is nothing but TLS');
};

rpc($_, 'System.stop()') for @pods;
ok($_->wait(20), 'a pod ends') or diag $_->describe for @server;

done_testing;
