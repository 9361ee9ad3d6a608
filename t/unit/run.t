#!/usr/bin/env perl
# The unit tests: nginx -t runs them, and prints TAP.  RF_UNIT is the module
# with them, RF_UNIT_ONLY the begin of the names of those to run.

use strict;
use warnings;

use lib 't/lib';
use RF ();

my $flavour = $ENV{RF_FLAVOUR} || $ENV{BUILD} || 'release';
my $module = $ENV{RF_UNIT}
             || "$RF::ROOT/build/$flavour/ngx_rf_unit_module.so";
my $dir = RF::tempdir('unit');
my %env = (TMPDIR => $dir, RF::sanitizer_env($dir));

mkdir "$dir/logs";
RF::spew("$dir/nginx.conf", <<"END");
load_module $module;
pid $dir/nginx.pid;
error_log $dir/error.log info;
events { }
END

# a report of the sanitizers goes to a file, where it cannot break the TAP

open my $stderr, '>&', \*STDERR or die;
open STDERR, '>', "$dir/stderr.log" or die;
@ENV{keys %env} = values %env;
my $pid = open my $out, '-|', RF::nginx_binary(), '-t', '-q', '-p', "$dir/",
               '-c', "$dir/nginx.conf", '-e', 'stderr'
    or die "nginx: $!\n";
delete @ENV{keys %env};             # for what Perl itself still starts
open STDERR, '>&', $stderr or die;

my $plan = 0;

while (<$out>) {
    $plan = 1 if /^1\.\.\d/;
    print;
}

close $out;
my $status = $?;
my $said = join '', map { RF::slurp($_) }
           "$dir/stderr.log", "$dir/error.log", glob "$dir/asan.* $dir/ubsan.*";

if ($status || !$plan || $said =~ /Sanitizer|runtime error:/) {
    print STDERR $said;
    printf STDERR "nginx -t ended with %d\n", $status;
    $? = 1;
    exit 1;
}
