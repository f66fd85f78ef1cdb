# Calls that fail in programs as they run: tests/faults/failing.c, compiled, and the file that steers it.
#
#     my $failing = Distguard::Failing->new($folder);
#     run({ env => { LD_PRELOAD => "$libdistguard " . $failing->library, FAILING => $failing->file } }, ...);
#     $failing->rule(accept => { luck => 0.2, errors => [EMFILE, EINTR] });    # -1 for a part of what was asked for
#     $failing->on($seed);
#     $failing->off;
package Distguard::Failing;
use strict;
use warnings;
use Carp qw(croak);
use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);

our @EXPORT_OK = qw(build_fault);

# In the order of failing.c, and so is all of the layout.
use constant CLASSES => qw(accept connect receive send option name socket open map poll memory parser);
use constant {
    ERRORS     => 4,
    RULE       => 'L L L l4',
    RULE_SIZE  => 28,
    COUNT_SIZE => 8,
    HEAD       => 8,
    OF_LUCK    => 65536,
    NUMBER     => 12,
};

my $source = abs_path(dirname(__FILE__) . '/../../faults');

# Compiles one file of tests/faults to `path`.
sub build_fault {
    my ($name, $path, @flags) = @_;
    system($ENV{CC} // 'cc', qw(-std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -O1 -fno-builtin), @flags, '-o', $path,
        "$source/$name.c") == 0 or croak "tests/faults/$name.c does not compile";
    return $path;
}

sub new {
    my ($class, $folder) = @_;
    my $self = bless { file => "$folder/failing", library => "$folder/failing.so" }, $class;
    build_fault('failing', $self->{library}, '-shared', '-fPIC', '-Wl,-Bsymbolic');
    $self->clear;
    return $self;
}

sub library { $_[0]{library} }
sub file    { $_[0]{file} }

# Nothing fails, and nothing has.
sub clear {
    my ($self) = @_;
    $self->write(0, "\0" x (HEAD + (RULE_SIZE + COUNT_SIZE) * NUMBER));
}

sub write {
    my ($self, $at, $bytes) = @_;
    open(my $file, -e $self->{file} ? '+<:raw' : '+>:raw', $self->{file}) or croak "$self->{file}: $!";
    seek($file, $at, 0);
    print {$file} $bytes;
    close $file or croak "$self->{file}: $!";
}

sub index_of {
    my ($name) = @_;
    my @classes = CLASSES;
    my ($index) = grep { $classes[$_] eq $name } 0 .. $#classes;
    return $index // croak "no such calls: $name";
}

# What becomes of the calls of a class: { luck => of all so many, or nth => this one, lasting => and all behind it;
# errors => [one of these; -1 for a part of what was asked for] }.
sub rule {
    my ($self, $name, $rule) = @_;
    my @errors = (@{ $rule->{errors} // [] }, (0) x ERRORS)[0 .. ERRORS - 1];
    $self->write(HEAD + RULE_SIZE * index_of($name),
        pack RULE, int(OF_LUCK * ($rule->{luck} // 0)), $rule->{nth} // 0, $rule->{lasting} ? 1 : 0, @errors);
}

sub on {
    my ($self, $seed) = @_;
    $self->write(4, pack 'L', $seed // 1);
    $self->write(0, pack 'L', 1);
}

sub off { $_[0]->write(0, pack 'L', 0) }

# How many calls of a class there were while it was on, and how many failed.
sub counts {
    my ($self, $name) = @_;
    open(my $file, '<:raw', $self->{file}) or croak "$self->{file}: $!";
    seek($file, HEAD + RULE_SIZE * NUMBER + COUNT_SIZE * index_of($name), 0);
    read($file, my $bytes, COUNT_SIZE) == COUNT_SIZE or croak "$self->{file} is cut";
    return unpack 'L L', $bytes;
}

1;
