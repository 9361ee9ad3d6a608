# Random commands to nginx without its Redis, and to a Redis: a short run of
# t/differential/differential.pl, which says more.

use strict;
use warnings;

use Cwd ();
use File::Basename ();

$ENV{COMMANDS} = $ENV{RF_DIFFERENTIAL} || 5000;

my $file = Cwd::abs_path(File::Basename::dirname(__FILE__))
           . '/../differential/differential.pl';

defined do $file or die $@ || "$file: $!\n";
