# Waiting for conditions, with a deadline.
package Distguard::Lab::Wait;
use strict;
use warnings;
use Carp qw(croak);
use Exporter qw(import);
use Time::HiRes qw(time sleep);

our @EXPORT_OK = qw(wait_for wait_until);

use constant STEP => 0.01;

# Calls `condition` until it is true and returns what it gave; undef after `seconds`.
sub wait_for {
    my ($seconds, $condition) = @_;
    my $deadline = time + $seconds;
    while (1) {
        my $answer = $condition->();
        return $answer if $answer;
        return undef if time >= $deadline;
        sleep STEP;
    }
}

# The same, for conditions without which the script cannot go on: dies with `what`.
sub wait_until {
    my ($what, $seconds, $condition) = @_;
    return wait_for($seconds, $condition) // croak "gave up after $seconds s waiting until $what";
}

1;
