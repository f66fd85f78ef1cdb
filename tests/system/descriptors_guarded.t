#!/usr/bin/perl
# Numbers of guarded connections that one thread closes, copies or overwrites while another uses them: nothing leaves in
# the clear, and no byte of one connection lands on another.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/../probes";
use Pairs qw(pair_ok);
use Test::More;

my @scenarios = (
    ['taken',    '',            'a number is closed while another thread writes to it'],
    ['taken',    'dup2',        'a number is overwritten while another thread writes to it'],
    ['taken',    'close_range', 'a number is closed with a range while another thread writes to it'],
    ['replaced', '',            'a number is closed and another connection while a recv waits there'],
    ['replaced', 'send',        'a number is closed and another connection while a send waits there'],
    ['another',  '',            'a program becomes another, by exec, with connections open'],
    ['apart',    '',            'a thread wants a descriptor table of its own'],
    ['handed',   '',            'a connection that comes over a Unix socket, and may not go on so'],
    ['handed',   'many',        'the same by recvmmsg and sendmmsg'],
    ['handed',   'exec',        'a connection that the program before this one has left open'],
);

pair_ok(@$_) for @scenarios;

done_testing;
