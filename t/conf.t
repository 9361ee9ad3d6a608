# Every directive with each wrong value: a message that names the directive,
# the value and the line; and right values, which pass.

use strict;
use warnings;
use lib 't/lib';
use RF;

my $nginx = RF::Nginx->new(start => 0, status => 0, log_level => 'warn');


sub try {
    my ($http, $server) = @_;

    $nginx->{http} = $http;
    $nginx->{server} = defined $server ? $server : '';

    return $nginx->test;
}


sub good {
    my ($name, @parts) = @_;

    my ($code, $out) = try(@parts);

    ok($code == 0 && $out !~ /\[(?:emerg|alert|crit|error|warn)\]/, $name)
        or diag($out);
}


# the message, as it stands between "[emerg] pid#tid: " and " in FILE:LINE"

sub bad {
    my ($name, $message, @parts) = @_;

    my ($code, $out) = try(@parts);
    my @found = $out =~ /\[emerg\] \d+#\d+: (.*) in \S+nginx\.conf:\d+$/mg;

    is("$code: " . join(' | ', @found), "1: $message", $name) or diag($out);
}


# lines of a store's block, with a path below the test's directory

sub store {
    my ($lines, $name) = @_;

    $name = 'app' unless defined $name;
    $lines = "path %%DIR%%/$name; $lines" unless $lines =~ /\bpath\b/;

    return "redis_fallback_store $name {\n$lines\n}\n";
}


sub store_bad {
    my ($message, $lines) = @_;

    bad("store: $lines", $message, store($lines));
}


sub store_good { good("store: $_[0]", store($_[0])) }


my $dir = $nginx->dir;

# the block

good('no store', '');
good('an empty block', store(''));
good('a store that no location uses', store('zone 1m;'));
bad('a store without a name', 'invalid number of arguments in '
    . '"redis_fallback_store" directive', 'redis_fallback_store { }');
bad('a store with two names', 'invalid number of arguments in '
    . '"redis_fallback_store" directive', 'redis_fallback_store a b { }');
bad('no block', 'directive "redis_fallback_store" has no opening "{"',
    'redis_fallback_store a;');
bad('a store in server', '"redis_fallback_store" directive is not allowed '
    . 'here', '', 'redis_fallback_store a { }');
bad('two stores of one name', 'duplicate redis_fallback_store "app"',
    store('', 'app') . store('path off;', 'app'));

for my $name ('a/b', '..', '.a', 'a b', 'ä', '""', 'x' x 65) {
    (my $shown = $name) =~ s/^""$//;
    bad("name $name", qq{invalid name "$shown" of redis_fallback_store: it }
        . 'must be 1 to 64 letters, digits, "_", "-" and ".", not beginning '
        . 'with "."', "redis_fallback_store "
        . ($name =~ / / ? qq{"$name"} : $name) . " { }");
}

good("name $_", store('path off;', $_)) for 'a', 'A-b_c.9', 'x' x 64;

store_bad('unknown directive "zoned" in redis_fallback_store', 'zoned 1m;');
store_bad('unexpected "{"', 'zone { }');
store_bad('unknown directive "proxy_pass" in redis_fallback_store',
          'proxy_pass http://127.0.0.1;');

# each line, with too few and too many arguments, and twice

my %value = (
    zone            => '2m',
    server          => '127.0.0.1:6380',
    user            => 'u',
    password        => 'p',
    password_file   => "$dir/secret",
    database        => '1',
    connect_timeout => '1s',
    timeout         => '1s',
    max_retries     => '1',
    connections     => '4',
    check_interval  => '1s',
    path            => "$dir/p",
    write_interval  => '1s',
    write_queue     => '1',
    durability      => 'memory',
    cache           => 'off',
    restore         => 'on',
    on_conflict     => 'local',
    recovery_rate   => '1',
);

RF::spew("$dir/secret", "hunter2\nsecond line\n");

for my $name (sort keys %value) {
    my $number = qq{invalid number of arguments in "$name" directive};

    store_bad($number, "$name;");
    store_bad($number, "$name $value{$name} levels=2 c;");
    store_bad(qq{"$name" directive is duplicate},
              "$name $value{$name};\n$name $value{$name};");
    next if $name eq 'path';
    store_bad($number, "$name $value{$name} b;");
}

# the values

sub value_bad {
    my ($name, $why, @values) = @_;

    for my $value (@values) {
        (my $shown = $value) =~ s/^"(.*)"$/$1/;
        store_bad(qq{invalid value "$shown" in "$name" directive: $why},
                  "$name $value;");
    }
}

sub value_good {
    my ($name, @values) = @_;

    store_good("$name $_;") for @values;
}

value_bad('zone', 'it must be a size', 'x', '-1m', '1mm', '1.5m', '""',
          '99999999999999999999');
value_bad('zone', 'it must be at least 1m', '0', '1', '1023k', '1048575');
value_good('zone', '1m', '1048576', '1024k', '64M', '1g');

value_bad('server', 'no host', '""', ':6379');
value_bad('server', 'invalid port', '127.0.0.1:0', '127.0.0.1:65536',
          '127.0.0.1:', 'redis:x', '::1');
value_bad('server', 'invalid host', 'redis/0', '127.0.0.1:6379/0',
          'redis://127.0.0.1', '[::1', '[::1]6379', '"a b"');
value_bad('server', 'invalid IPv6 address', '[::g]');
value_bad('server', 'no path in the unix domain socket', 'unix:');
value_bad('server', 'too long path in the unix domain socket',
          'unix:/' . 'x' x 120);
value_good('server', '127.0.0.1', '127.0.0.1:7000', '[::1]', '[::1]:7000',
           'unix:/tmp/redis.sock', 'localhost', 'localhost:7000',
           'no-such-host.invalid', 'redis_1:6379');

value_bad('database', 'it must be a number of at least 0', '-1', 'x', '1x',
          '""', '2147483648', '99999999999999999999');
value_good('database', '0', '15', '2147483647');

value_bad($_, 'it must be a number of at least 1', '0', '-1', 'x', '""', '1k')
    for 'max_retries', 'write_queue';
value_good($_, '1', '100000') for 'max_retries', 'write_queue';

value_bad('recovery_rate', 'it must be a number of at least 0', '-1', 'x',
          '10/s');
value_good('recovery_rate', '0', '1000');

value_bad('connections', 'it must be a number from 1 to 16', '0', '-1', '17',
          'x', '1x', '1.5', '""', 'auto', '99999999999999999999');
value_good('connections', '1', '2', '16');

for my $name ('connect_timeout', 'timeout', 'check_interval',
              'write_interval')
{
    value_bad($name, 'it must be a time', 'x', '-1s', '1x', '""', '1s1m');
    value_bad($name, 'it must be between 1ms and 24d', '0', '0ms', '25d');
    value_good($name, '1ms', '500ms', '1', '1m30s', '24d');
}

value_bad('path', 'it is empty', '""');
value_bad('path', 'it is the root directory', '/', '//./');

for my $levels ('', '0', '5', '2:', ':2', '2:0', '2:2:2:2', '2,2', '22', 'x',
                '-1')
{
    store_bad(qq{invalid value "levels=$levels" in "path" directive: levels }
              . 'are one to three digits from 1 to 4, such as 2:2:2',
              "path %%DIR%%/p levels=$levels;");
}

store_bad('invalid value "level=2" in "path" directive: unknown parameter',
          'path %%DIR%%/p level=2;');
store_bad('invalid value "levels=2" in "path" directive: "path off" has no '
          . 'parameter', 'path off levels=2;');
store_good("path $_;") for 'off', '%%DIR%%/a', '%%DIR%%/a/', 'relative/a',
                           map { "%%DIR%%/l$_ levels=$_" }
                               '1', '4:4:4', '2:2', '1:2:3';

value_bad('durability', 'it must be "memory" or "disk"', 'off', 'Disk', '""');
value_good('durability', 'memory', 'disk');
store_bad('"durability disk" contradicts "path off" in redis_fallback_store '
          . '"app"', $_)
    for 'durability disk; path off;', 'path off; durability disk;';

value_bad('cache', 'it must be "tracking", "off" or a time above 0', 'on',
          '0', '0s', '-5s', 'x', '""');
value_good('cache', 'tracking', 'off', '5s', '100ms', '30d');

value_bad('restore', 'it must be "on" or "off"', 'yes', '1', '""');
value_good('restore', 'on', 'off');
value_bad('on_conflict', 'it must be "local" or "remote"', 'newest', '""');
value_good('on_conflict', 'local', 'remote');

# secrets

value_bad('user', 'it is empty', '""');
value_bad('password', 'it is empty', '""');
value_bad('password_file', 'it is empty', '""');

store_good('password p;');
store_good('user u; password p;');
store_good('password p; user u;');
store_good("password_file $dir/secret; user u;");
store_bad('"user" needs "password" or "password_file" in '
          . 'redis_fallback_store "app"', 'user u;');
store_bad('"password_file" contradicts "password"',
          "password p; password_file $dir/secret;");
store_bad('"password" contradicts "password_file"',
          "password_file $dir/secret; password p;");

RF::spew("$dir/empty", '');
RF::spew("$dir/blank", "\nhunter2\n");
RF::spew("$dir/crlf", "hunter2\r\n");
RF::spew("$dir/bare", 'hunter2');
RF::spew("$dir/long", 'hunter2' x 1000);

store_good("password_file $dir/$_;") for 'crlf', 'bare';
store_bad(qq{invalid value "$dir/$_" in "password_file" directive: its first }
          . 'line is empty', "password_file $dir/$_;") for 'empty', 'blank';
store_bad(qq{invalid value "$dir/long" in "password_file" directive: its }
          . 'first line is too long', "password_file $dir/long;");
store_bad(qq{"password_file": open() "$dir/none" failed (2: No such file or }
          . 'directory)', "password_file $dir/none;");
store_bad(qq{"password_file": read() "$dir" failed (21: Is a directory)},
          "password_file $dir;");

{
    my (undef, $out) = try(store("password hunter2; password hunter2;\n")
                           . store("password_file $dir/secret;\n"
                                   . 'password hunter2;', 'b'));
    unlike($out, qr/hunter2/, 'a secret is not in a message');
}

# an include, as in any block

RF::spew("$dir/store.conf", "zone 1m;\ntimeout 1s;\n");
store_good("include $dir/store.conf;");
store_bad('"zone" directive is duplicate',
          "include $dir/store.conf;\nzone 1m;");
store_bad('invalid number of arguments in "include" directive',
          'include a b;');

# several stores

good('two stores', store('', 'a') . store('', 'b'));
good('two stores without files', store('path off;', 'a')
                                 . store('path off;', 'b'));

for my $path ('%%DIR%%/a', '%%DIR%%/a/', '%%DIR%%//./a') {
    bad("two stores, one path: $path", qq{"path" "$dir/a" of }
        . 'redis_fallback_store "b" is already that of "a"',
        store('path %%DIR%%/a;', 'a') . store("path $path;", 'b'));
}

# which store

my $a = store('path off;', 'a');
my $b = store('path off;', 'b');
my $several = 'needs "redis_fallback": there are several stores';

good('the only store', $a, 'location /a/ { redis_fallback_pass; }');
good('a named store', "$a$b", 'location /a/ { redis_fallback_pass a; }');
good('inherited from http', "$a$b redis_fallback a;",
     'location /a/ { redis_fallback_pass; redis_fallback_set $x GET a; }');
good('inherited from server', "$a$b",
     'redis_fallback a; location /a/ { redis_fallback_pass; }');
good('defined further down', "redis_fallback b; $a$b",
     'location /a/ { redis_fallback_pass a; }');
bad('no store', '"redis_fallback_pass" needs a "redis_fallback_store"', '',
    'location /a/ { redis_fallback_pass; }');
bad('no store for set', '"redis_fallback_set" needs a "redis_fallback_store"',
    '', 'redis_fallback_set $x GET a;');
bad('several stores', qq{"redis_fallback_pass" $several}, "$a$b",
    'location /a/ { redis_fallback_pass; }');
bad('several stores for set', qq{"redis_fallback_set" $several}, "$a$b",
    'location /a/ { redis_fallback_set $x GET a; }');

for my $place (["$a redis_fallback no;"],
               [$a, 'redis_fallback no;'],
               [$a, 'location /a/ { redis_fallback no; }'],
               [$a, 'location /a/ { redis_fallback_pass no; }'])
{
    bad("an unknown store: @$place[-1]", 'unknown redis_fallback_store "no"',
        @$place);
}

{
    my (undef, $out) = try($a, "\n\n\nredis_fallback no;\n\n");
    my $text = RF::slurp($nginx->conf);
    my $line = 1 + (substr($text, 0, index($text, 'redis_fallback no'))
                    =~ tr/\n//);
    like($out, qr/unknown redis_fallback_store "no" in \S+:$line$/m,
         'and the line that names it');
}

bad('redis_fallback twice', '"redis_fallback" directive is duplicate', $a,
    'redis_fallback a; redis_fallback a;');
bad('redis_fallback without a name', 'invalid number of arguments in '
    . '"redis_fallback" directive', "$a redis_fallback;");

# redis_fallback_pass

bad('pass twice', '"redis_fallback_pass" directive is duplicate', $a,
    'location /a/ { redis_fallback_pass; redis_fallback_pass a; }');
bad('pass of two stores', 'invalid number of arguments in '
    . '"redis_fallback_pass" directive', $a,
    'location /a/ { redis_fallback_pass a b; }');
bad('pass in server', '"redis_fallback_pass" directive is not allowed here',
    $a, 'redis_fallback_pass;');
bad('pass and status', '"redis_fallback_pass" directive contradicts '
    . '"redis_fallback_status" of the same location', $a,
    'location /a/ { redis_fallback_status; redis_fallback_pass; }');
bad('status and pass', '"redis_fallback_status" directive contradicts '
    . '"redis_fallback_pass" of the same location', $a,
    'location /a/ { redis_fallback_pass; redis_fallback_status; }');

for my $location ('= /a', '~ ^/a', '~* ^/a', '@a') {
    my $key = '"redis_fallback_pass" needs "redis_fallback_key" in a location '
              . 'that is not a prefix,';

    bad("no key in location $location", $key, $a,
        "location $location { redis_fallback_pass; }");
    bad("no key in an if of location $location", $key, $a,
        "location $location { if (\$arg_x) { redis_fallback_pass; } }");
    good("a key in location $location", $a,
         "location $location { redis_fallback_pass; redis_fallback_key a; }");
    good("an inherited key in location $location",
         "$a redis_fallback_key \$arg_key;",
         "location $location { redis_fallback_pass; }");
}

good("no key in location $_", $a, "location $_ { redis_fallback_pass; }")
    for '/', '/a', '/a/', '^~ /a/';
good('pass in if', $a,
     'location /a/ { if ($arg_x) { redis_fallback_pass; } }');
good('pass in limit_except', $a,
     'location /a/ { limit_except GET { deny all; } redis_fallback_pass; }');

# _key, _ttl

for my $name ('redis_fallback_key', 'redis_fallback_ttl') {
    bad("$name twice", qq{"$name" directive is duplicate}, $a,
        "$name a; $name b;");
    bad("$name without a value", 'invalid number of arguments in '
        . qq{"$name" directive}, "$a $name;");
    good("$name with variables", $a,
         "location /a/ { redis_fallback_pass; $name \"\$host:\$arg_a\"; }");
}

# redis_fallback_set

my $set = 'in "redis_fallback_set" directive';

bad('set without a command', "invalid number of arguments $set", $a,
    'redis_fallback_set $x;');
bad('set without arguments', "invalid number of arguments $set", $a,
    'redis_fallback_set;');
bad("set of $_", qq{invalid variable name "$_" $set}, $a,
    "redis_fallback_set $_ GET a;") for 'x', '$';
bad('set of a constant variable', 'the duplicate "host" variable', $a,
    'redis_fallback_set $host GET a;');
bad('set in http', '"redis_fallback_set" directive is not allowed here',
    "$a redis_fallback_set \$x GET a;");
bad('set in if', '"redis_fallback_set" directive is not allowed here', $a,
    'location /a/ { if ($arg_x) { redis_fallback_set $x GET a; } }');
bad('an unknown command', qq{invalid command "nosuch" $set: ERR unknown }
    . q{command 'nosuch', with args beginning with: 'a' }, $a,
    'redis_fallback_set $x nosuch a;');
bad('too few arguments of a command', qq{invalid command "GET" $set: ERR }
    . q{wrong number of arguments for 'get' command}, $a,
    'redis_fallback_set $x GET;');
bad('too many arguments of a command', qq{invalid command "get" $set: ERR }
    . q{wrong number of arguments for 'get' command}, $a,
    'redis_fallback_set $x get a b;');
bad('a command from a variable', 'the command "$arg_c" of '
    . '"redis_fallback_set" cannot have variables', $a,
    'redis_fallback_set $x $arg_c a;');

for my $command ('SUBSCRIBE a', 'BLPOP a 1', 'MULTI', 'AUTH a') {
    my (undef, $out) = try($a, "redis_fallback_set \$x $command;");
    my ($name) = split / /, $command;
    like($out, qr/\[emerg\].* invalid command "$name" $set: /,
         "refused: $command");
}

good('commands', $a, 'redis_fallback_set $x PING;
    redis_fallback_set $y MGET a b c d e f g h i j k l m n o p;
    location /a/ { redis_fallback_set $x set "k:$host" $y EX 10 NX;
                   redis_fallback_set $z GET $x;
                   set $x b; if ($z) { set $y $x; } return 200 $x$y$z; }');
good('a variable that nginx knows', $a,
     'location /a/ { redis_fallback_set $limit_rate GET a; }');

# redis_fallback_lock

bad('lock, no flag', 'invalid value "yes" in "redis_fallback_lock" directive, '
    . 'it must be "on" or "off"', "$a redis_fallback_lock yes;");
bad('lock twice', '"redis_fallback_lock" directive is duplicate',
    "$a redis_fallback_lock on; redis_fallback_lock on;");
good("lock $_", "$a redis_fallback_lock $_;",
     "redis_fallback_lock on; location / { redis_fallback_lock $_; }")
    for qw(on off);

# redis_fallback_outage

my $outage = 'in "redis_fallback_outage" directive: it must be';

bad("outage $_", qq{invalid value "$_" $outage "local", "read_only" or }
    . '"reject"', "$a redis_fallback_outage $_;")
    for 'no', 'unknown=404', 'Local';
bad("outage local $_", qq{invalid value "$_" $outage "unknown=" and a status }
    . 'from 200 to 599', "$a redis_fallback_outage local $_;")
    for 'unknown=', 'unknown=x', 'unknown=199', 'unknown=600', 'unknown=-1',
        'unknown=4040', 'other=404', 'reject';
bad('outage without a value', 'invalid number of arguments in '
    . '"redis_fallback_outage" directive', "$a redis_fallback_outage;");
bad('outage with three values', 'invalid number of arguments in '
    . '"redis_fallback_outage" directive',
    "$a redis_fallback_outage local unknown=404 x;");
bad('outage twice', '"redis_fallback_outage" directive is duplicate',
    "$a redis_fallback_outage local; redis_fallback_outage local;");
good("outage $_", "$a redis_fallback_outage $_;",
     "redis_fallback_outage local; location / { redis_fallback_outage $_; }")
    for 'local', 'read_only', 'reject', 'local unknown=503',
        'read_only unknown=200', 'reject unknown=599';

# redis_fallback_status

bad("status $_", qq{invalid value "$_" in "redis_fallback_status" directive: }
    . 'it must be "json" or "prometheus"', $a,
    "location /s { redis_fallback_status $_; }") for 'xml', 'JSON';
bad('status with two values', 'invalid number of arguments in '
    . '"redis_fallback_status" directive', $a,
    'location /s { redis_fallback_status json prometheus; }');
bad('status twice', '"redis_fallback_status" directive is duplicate', $a,
    'location /s { redis_fallback_status; redis_fallback_status json; }');
bad('status in server', '"redis_fallback_status" directive is not allowed '
    . 'here', $a, 'redis_fallback_status;');
good("status $_", $a, "location /s { redis_fallback_status $_; }")
    for '', 'json', 'prometheus';
good('status without a store', '', 'location /s { redis_fallback_status; }');

done_testing;
