# "make install" puts the module where nginx looks for it.

use strict;
use warnings;

use lib 't/lib';
use RF;

use File::Temp 'tempdir';

my $name = 'ngx_http_redis_fallback_module.so';
my $dest = tempdir(CLEANUP => 1);
my $nginx = $ENV{NGX_BIN} || '/usr/sbin/nginx';
my $build = $ENV{BUILD} || 'release';
my $tool = $ENV{RF_TOOL} || 'build/redis-fallback-files';
my ($modules) = `$nginx -V 2>&1` =~ /--modules-path=(\S+)/;

# our caller is a make as well

my $make = 'env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make --no-print-directory';

my $out = `$make install BUILD=$build DESTDIR=$dest PREFIX=/opt 2>&1`;
is($?, 0, 'installs') or diag($out);

ok(-x "$dest/opt/bin/redis-fallback-files", 'the tool');
ok(-s "$dest/opt/share/man/man1/redis-fallback-files.1", 'its man page');
ok(-s "$dest$modules/$name", 'the module');
ok(!-x "$dest$modules/$name", 'which is no program');

is(`$dest/opt/bin/redis-fallback-files --version`,
   `$tool --version`, 'the tool is the one that was built');

$out = `$make install BUILD=$build DESTDIR=$dest MODULES= 2>&1`;
isnt($?, 0, 'nginx does not say where modules are');
like($out, qr/MODULES=DIR/, 'who installs has to');

done_testing;
