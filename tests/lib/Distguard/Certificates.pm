# The list of certificates, tests/certificates/list.
package Distguard::Certificates;
use strict;
use warnings;
use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);

our @EXPORT_OK = qw(home entries);

sub home { abs_path(dirname(__FILE__) . '/../../certificates') }

# Of each entry its kind, its name, and what is said of it, in the list's order.
sub entries {
    my @entries;
    open(my $list, '<', home() . '/list') or die "list: $!\n";
    while (my $line = <$list>) {
        chomp $line;
        push @entries, { kind => $1, name => $2 } if $line =~ /^\[(\S+) (\S+)\]$/;
        $entries[-1]{$1} = $2 if $line =~ /^([\w-]+) +=(?: (.*))?$/;
    }
    return @entries;
}

1;
