package Bench::Peers;

# What this module's paths are compared with: what nginx itself can do, and what
# Debian has packages of.  "make bench-deps" unpacks those below
# build/bench-deps; without them their paths are left out.  They run in an nginx
# of their own, so that no module's filters burden another's requests.

use strict;
use warnings;

use RF;
use Bench;
use Bench::Paths;

my $deps = "$RF::ROOT/build/bench-deps";

# deps: needs the packages.  backend: needs a server behind it.  quiet: that
# server must have had nothing to do.  Others: as in Paths.pm

our @PATHS = (
    { id => 'map', title => '`return 200`, one of 1,000 texts (`map`)',
      method => 'GET', prefix => '/map/%SIZE%/k', most => 4000 },

    { id => 'static', title => 'static file, `sendfile`',
      method => 'GET', prefix => '/static/%SIZE%/k' },

    { id => 'static_cache', title => 'static file, `open_file_cache`',
      method => 'GET', prefix => '/opened/%SIZE%/k' },

    { id => 'proxy_cache', title => '`proxy_cache` hit', backend => 1,
      quiet => 1, method => 'GET', prefix => '/cached/%SIZE%/k' },

    { id => 'proxy', title => '`proxy_pass`, keepalive', backend => 1,
      method => 'GET', prefix => '/proxy/%SIZE%/k', most => 4000 },

    { id => 'lua_get', title => 'lua shared dict, get', deps => 1,
      method => 'GET', prefix => '/dict/%SIZE%/k', in => [qw(workers keys)] },

    { id => 'lua_set', title => 'lua shared dict, set', deps => 1,
      method => 'PUT', prefix => '/dict/%SIZE%/k', body => 1,
      in => [qw(workers)] },

    { id => 'lua_redis_get', title => 'lua-resty-redis GET, TCP', deps => 1,
      method => 'GET', prefix => '/luatcp/%SIZE%/k', server => 'redis',
      proof => ['server', 'commands', 'in all', 1], in => [qw(workers)] },

    { id => 'lua_redis_set', title => 'lua-resty-redis SET, TCP', deps => 1,
      method => 'PUT', prefix => '/luatcp/%SIZE%/k', body => 1,
      server => 'redis', proof => ['server', 'commands', 'in all', 1] },

    { id => 'lua_redis_get_unix', title => 'lua-resty-redis GET, unix socket',
      deps => 1, method => 'GET', prefix => '/luaunix/%SIZE%/k',
      server => 'redis', proof => ['server', 'commands', 'in all', 1] },

    { id => 'srcache_memc', title => 'srcache + memc, hit', deps => 1,
      backend => 1, quiet => 1, method => 'GET', prefix => '/srcache/%SIZE%/k',
      server => 'memcached', proof => ['server', 'commands', 'in all', 1] },

    { id => 'memcached_get', title => '`memcached_pass`, keepalive',
      deps => 1, method => 'GET', prefix => '/memcached/%SIZE%/k',
      server => 'memcached', proof => ['server', 'commands', 'in all', 1],
      in => [qw(workers keys connections)] },

    { id => 'memc_get', title => '`memc_pass` get, keepalive', deps => 1,
      method => 'GET', prefix => '/memc/%SIZE%/k', server => 'memcached',
      proof => ['server', 'commands', 'in all', 1] },

    { id => 'memc_set', title => '`memc_pass` set, keepalive', deps => 1,
      method => 'PUT', prefix => '/memc/%SIZE%/k', body => 1,
      server => 'memcached', proof => ['server', 'commands', 'in all', 1] },
);

$_->{peer} = 1 for @PATHS;


sub have_deps { return -f "$deps/complete" }


# the packages' versions

sub versions { return have_deps() ? RF::slurp("$deps/complete") : '' }


# those that come with the packages; empty: none

sub libraries {
    return have_deps() ? join ':', glob "$deps/usr/lib/*-linux-gnu" : '';
}


sub main_conf {
    return '' unless have_deps();

    return join '', map { "load_module $deps/usr/lib/nginx/modules/$_.so;\n" }
           qw(ndk_http_module ngx_http_lua_module
              ngx_http_srcache_filter_module ngx_http_memc_module);
}


sub http_conf {
    my (%opt) = @_;

    my $conf = "keepalive_requests 1000000000;\n"
               . "client_body_buffer_size 512k;\n" . <<END;
    upstream backend {
        server 127.0.0.1:$opt{backend};
        keepalive 64;
    }

    proxy_cache_path %%DIR%%/cache levels=1:2 keys_zone=cached:16m inactive=1d;
END
    $conf .= map_http() . Bench::Paths::floor_http();

    return $conf unless have_deps();

    return $conf . <<END;
    upstream memcached {
        server 127.0.0.1:$opt{memcached};
        keepalive 64;
    }

    lua_package_path "$deps/usr/share/lua/5.1/?.lua;;";
    lua_shared_dict bench 256m;
    lua_socket_pool_size 64;
END
}


# What is in an nginx' own memory, each text in a place of its own: what it costs
# that a value is not the same one each time.

sub map_http {
    my $conf = "map_hash_max_size 65536;\nmap_hash_bucket_size 64;\n"
               . "map \$uri \$text {\n";

    for my $size (grep { $_ <= 4000 } @Bench::SIZES) {
        my $value = 'v' x $size;

        $conf .= sprintf "/map/%s/k%04d %s;\n", $size, $_, $value
            for 1 .. Bench::keys_of($size);
    }

    return "$conf}\n";
}


# what a user would write, and with a length, as "return" sends one

sub server_conf {
    my (%opt) = @_;

    my $conf = '';

    for my $size (@Bench::SIZES) {
        $conf .= Bench::Paths::floor_location($size);
        $conf .= "location /proxy/$size/ {\n"
                 . Bench::Paths::to_backend($size) . "}\n";

        for my $name (qw(cached srcache)) {
            next if $name eq 'srcache' && !have_deps();

            $conf .= "location /$name/$size/ {\n"
                     . ($name eq 'cached'
                        ? "proxy_cache cached; proxy_cache_valid 200 1d;\n"
                        : "srcache_fetch GET /memc\$uri;\n"
                          . "srcache_store PUT /memc\$uri;\n"
                          . "srcache_store_max_size 1m;\n")
                     . Bench::Paths::to_backend($size) . "}\n";
        }
    }

    $conf .= <<'END';
    location /map/ { return 200 $text; }
    location /static/ { root %%DIR%%/html; sendfile on; }

    location /opened/ {
        alias %%DIR%%/html/static/;
        sendfile on;
        open_file_cache max=10000 inactive=1h;
        open_file_cache_valid 1h;
    }
END
    return $conf unless have_deps();

    return $conf . dict() . lua_redis('luatcp', "\"127.0.0.1\", $opt{redis}")
           . lua_redis('luaunix', "\"unix:$opt{unix}\"") . <<'END';
    location /memcached/ {
        set $memcached_key $uri;
        memcached_pass memcached;
    }

    location /memc/ {
        set $memc_key $uri;
        memc_pass memcached;
    }
END
}


sub dict {
    return <<'END';
    location /dict/ {
        content_by_lua_block {
            local dict = ngx.shared.bench

            if ngx.req.get_method() == "PUT" then
                ngx.req.read_body()
                local ok, err = dict:set(ngx.var.uri,
                                         ngx.req.get_body_data())
                return ngx.exit(ok and 204 or 500)
            end

            local value = dict:get(ngx.var.uri)

            if not value then
                return ngx.exit(404)
            end

            ngx.header.content_length = #value
            ngx.print(value)
        }
    }
END
}


sub lua_redis {
    my ($name, $address) = @_;

    return <<END;
    location /$name/ {
        content_by_lua_block {
            local client = require("nginx.redis"):new()

            client:set_timeout(5000)

            if not client:connect($address) then
                return ngx.exit(502)
            end

            if ngx.req.get_method() == "PUT" then
                ngx.req.read_body()
                local ok = client:set(ngx.var.uri, ngx.req.get_body_data())
                client:set_keepalive(60000, 64)
                return ngx.exit(ok and 204 or 502)
            end

            local value = client:get(ngx.var.uri)

            if not value or value == ngx.null then
                return ngx.exit(404)
            end

            client:set_keepalive(60000, 64)
            ngx.header.content_length = #value
            ngx.print(value)
        }
    }
END
}


# the values, each where it is looked for; the caches fill themselves from the
# backend.  few: only where the part "keys" looks

sub fill {
    my ($nginx, $redis, $memcached, $size, $keys, $few) = @_;

    my $dir = $nginx->dir . "/html/static";
    my $value = 'v' x $size;
    my @names = map { sprintf '/%s/k%04d', $size, $_ } 1 .. $keys;
    my $conn = $nginx->conn;

    if ($few) {
        return unless have_deps();

        $memcached->fill($value, map { "/memcached$_" } @names);
        request($nginx, $conn, 'PUT', "/dict$_", $value) for @names;
        return;
    }

    mkdir $_ for $dir, "$dir/$size";
    RF::spew("$dir$_", $value) for @names;

    request($nginx, $conn, 'GET', "/cached$_") for @names;
    return unless have_deps();

    for my $name (qw(luatcp luaunix)) {
        $redis->pipeline(map { [ 'SET', "/$name$_", $value ] } @names);
    }

    for my $name (qw(memcached memc)) {
        $memcached->fill($value, map { "/$name$_" } @names);
    }

    request($nginx, $conn, 'GET', "/srcache$_") for @names;
    request($nginx, $conn, 'PUT', "/dict$_", $value) for @names;
}


# one by one: not each of these modules likes pipelined requests

sub request {
    my ($nginx, $conn, $method, $uri, $body) = @_;

    my $res = $nginx->request($method, $uri, conn => $conn,
                              defined $body ? (body => $body) : ());

    $res->{status} =~ /^2/
        or die "$method $uri: $res->{status} " . ($res->{error} || '') . "\n";
}


1;
