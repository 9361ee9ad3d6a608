# The configurations of examples/ do what docs/guide.md says of them, with
# Redis and without; and what README.md and the guide show is in them.

use strict;
use warnings;

use lib 't/lib';
use RF;

my $LUA_MODULES = $ENV{RF_LUA_MODULES} || '/usr/lib/nginx/modules';


# An example on free ports: ->at(8082) is the one that took the place of 8082.
# What belongs to the machine (user, log, pid) is the harness's.

package Example;

use RF;

sub new {
    my ($class, $name, $redis) = @_;

    my $nginx = RF::Nginx->new(start => 0, workers => 2);
    my $self = bless { nginx => $nginx, ports => {} }, $class;
    my $text = RF::slurp("examples/$name.conf");

    if ($name eq 'minimal') {
        $text =~ s/(server 127\.0\.0\.1:6379;)/$1 path %%DIR%%\/store;/ or die;
    }

    $text =~ s/^load_module modules\/ngx_http_redis_fallback_module\.so;\n//m
        or die "$name.conf does not load the module\n";
    $text =~ s{^load_module modules/}{load_module $LUA_MODULES/}mg;
    $text =~ s/^(?:user|worker_processes|error_log|pid)\s.*\n//mg;
    $text =~ s/127\.0\.0\.1:6379/"127.0.0.1:" . $redis->port/ge;
    $text =~ s/127\.0\.0\.1:(808\d)/"127.0.0.1:" . $self->at($1)/ge;
    $text =~ s{/var/lib/nginx/redis_fallback}{%%DIR%%/store}g;

    my $extra = $nginx->http_preamble . <<END;
    server {
        listen 127.0.0.1:$nginx->{status_port};
        location / { redis_fallback_status json; }
    }
END

    $extra =~ s/^\s*default_type.*\n//m;
    $text =~ s/^http \{\n/http {\n$extra/m or die "no http in $name.conf\n";

    $nginx->{conf} = $nginx->preamble . $text;

    my ($code, $out) = $nginx->test;
    Test::More::is($code, 0, "$name.conf passes nginx -t")
        or Test::More::diag($out);

    $nginx->start;

    return $self;
}

sub at    { return $_[0]{ports}{$_[1]} ||= RF::free_port() }
sub nginx { return $_[0]{nginx} }

sub request {
    my ($self, $method, $url, %opt) = @_;

    my ($port, $uri) = $url =~ m{^(?:(808\d))?(/.*)} or die $url;

    return RF::HTTP::request($self->at($port || 8080), $method, $uri, %opt);
}

sub get { my $self = shift; return $self->request('GET', @_) }
sub del { my $self = shift; return $self->request('DELETE', @_) }

sub put {
    my ($self, $url, $body) = @_;
    return $self->request('PUT', $url, body => $body);
}

sub finish {
    my ($self) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    Test::More::ok($self->{nginx}->stop, 'it stops');
    $self->{nginx}->check_logs;
}


package main;

use JSON::PP ();

my $json = JSON::PP->new->allow_nonref;

sub begins { return Example->new(@_) }

sub recovers {
    my ($example, $redis) = @_;

    $redis->start;
    ok($example->nginx->wait_mode('normal', 30), 'Redis is back');
}


# a command of redis_fallback_api: its result; without a path, /pipeline and
# /multi-exec, those of an array

sub api {
    my ($e, $url, @commands) = @_;

    my $res = $e->request('POST', $url,
                          @commands ? (body => $json->encode(\@commands))
                                    : ());
    my $reply = eval { $json->decode($res->{body}) };

    return [ map { $_->{result} // $_->{error} } @$reply ]
        if ref $reply eq 'ARRAY';
    return $reply && exists $reply->{result} ? $reply->{result}
                                             : "$res->{status} $res->{body}";
}


# JSON of pairs, as a hash

sub pairs {
    my ($res) = @_;

    my $array = eval { $json->decode($res->{body}) } || [];

    return { @$array };
}


subtest minimal => sub {
    my $redis = RF::Redis->new;
    my $e = begins('minimal', $redis);

    is($e->put('/kv/a', 'one')->{status}, 204, 'PUT');
    is($redis->cmd('GET', 'a'), 'one', 'it is in Redis');
    $redis->kill;
    is($e->get('/kv/a')->{body}, 'one', 'GET without Redis');
    is($e->put('/kv/a', 'two')->{status}, 204, 'PUT without Redis');
    like($e->get('/status')->{body}, qr/"mode": "fallback"/, 'status');
    recovers($e, $redis);
    is($redis->cmd('GET', 'a'), 'two', 'Redis has it');
    $e->finish;
};


subtest caching => sub {
    my $redis = RF::Redis->new;
    my $e = begins('caching', $redis);

    my $made = $e->get('/news');
    is($made->{status}, 200, 'a page is made');
    is($made->{headers}{'x-cache'}, undef, 'by the application');

    my $kept = $e->get('/news');
    is($kept->{body}, $made->{body}, 'the second time it is the same');
    like($kept->{headers}{'x-cache'}, qr/^(redis|memory)$/, 'from the store');
    is($redis->cmd('GET', 'page:/news'), $made->{body}, 'Redis has it');
    my $ttl = $redis->cmd('TTL', 'page:/news');
    ok($ttl > 0 && $ttl <= 60, 'for a minute');

    is($e->get('/files/a')->{status}, 200, 'the other way');
    is($e->get('/files/a')->{body}, $redis->cmd('GET', 'page:/files/a'),
       'is the same');
    is($e->request('POST', '/files/a', body => 'x')->{status}, 403,
       'clients may only read');

    is($e->put('8082/about', 'by hand')->{status}, 204, 'an application PUTs');
    is($e->get('/about')->{body}, 'by hand', 'and clients read');

    $redis->kill;

    is($e->get('/news')->{body}, $made->{body}, 'kept without Redis');
    is($e->get('/files/a')->{status}, 200, 'the other way, too');
    is($e->del('8082/news')->{status}, 204, 'forgotten without Redis');

    my $new = $e->get('/news');
    is($new->{status}, 200, 'made anew without Redis');
    is($new->{headers}{'x-cache'}, undef, 'by the application');
    is($e->get('/news')->{headers}{'x-cache'}, 'memory', 'and kept');
    is($e->get('/files/b')->{status}, 200, 'a file that nobody knows');

    recovers($e, $redis);
    is($redis->cmd('GET', 'page:/news'), $new->{body}, 'Redis has it');
    $e->finish;
};


subtest sessions => sub {
    my $redis = RF::Redis->new;
    my $e = begins('sessions', $redis);
    my $id = '0123456789abcdef' x 2;
    my %cookie = (headers => { Cookie => "session=$id" });

    my $res = $e->get('/account/');
    is($res->{status}, 302, 'no cookie');
    like($res->{headers}{location}, qr{/login$}, 'to the login');
    is($e->get('/account/', %cookie)->{status}, 302, 'an unknown cookie');
    is($e->get('/account/', headers => { Cookie => 'session=../x' })->{status},
       302, 'a strange cookie');

    is($e->put("8082/sessions/$id", 'user=ann')->{status}, 204, 'logged in');
    is($e->put('8082/sessions/x', 'user=ann')->{status}, 405, 'no id');

    $redis->cmd('EXPIRE', "session:$id", 100);
    is($e->get('/account/', %cookie)->{body}, "/account/ for user=ann\n",
       'the application knows who');
    my $ttl = $redis->cmd('TTL', "session:$id");
    ok($ttl > 1790 && $ttl <= 1800, 'another half hour');

    $redis->kill;

    is($e->get('/account/', %cookie)->{body}, "/account/ for user=ann\n",
       'the session lives without Redis');

    my $new = 'ffffffffffffffff' x 2;
    is($e->put("8082/sessions/$new", 'user=bob')->{status}, 204,
       'a login without Redis');
    is($e->get('/account/', headers => { Cookie => "session=$new" })->{body},
       "/account/ for user=bob\n", 'which lives');
    is($e->get('/logout', %cookie)->{status}, 302, 'a logout without Redis');
    is($e->get('/account/', %cookie)->{status}, 302, 'that counts');

    recovers($e, $redis);
    is($redis->cmd('GET', "session:$new"), 'user=bob', 'Redis has the login');
    is($redis->cmd('EXISTS', "session:$id"), 0, 'and the logout');
    $ttl = $redis->cmd('TTL', "session:$new");
    ok($ttl > 1700 && $ttl <= 1800, 'with its time to live');
    $e->finish;
};


subtest routing => sub {
    my $redis = RF::Redis->new;
    my $e = begins('routing', $redis);
    my $port = $e->at(8081);
    my %shop = (headers => { Host => 'shop.example' });

    is($e->get('/', %shop)->{status}, 404, 'no route');
    $redis->cmd('SET', 'route:shop.example', "127.0.0.1:$port");
    $redis->cmd('SET', 'pool:shop.example', 'green');

    ok(wait_for(sub { $e->get('/', %shop)->{status} == 200 }, 3),
       'the route counts');
    is($e->get('/', %shop)->{body}, "blue /\n", 'an address');
    is($e->get('/app/', %shop)->{body}, "green /app/\n", 'a name');
    is($e->get('/app/', headers => { Host => 'other.example' })->{body},
       "blue /app/\n", 'another has the default');

    $redis->kill;

    is($e->get('/', %shop)->{body}, "blue /\n", 'an address without Redis');
    is($e->get('/app/', %shop)->{body}, "green /app/\n", 'a name, too');
    is($e->get('/', headers => { Host => 'never.seen' })->{status}, 503,
       'one that nobody knows');
    is($e->put('8083/route:new.example', "127.0.0.1:$port")->{status}, 204,
       'a new route without Redis');
    is($e->get('/', headers => { Host => 'new.example' })->{body}, "blue /\n",
       'it counts');

    recovers($e, $redis);
    is($redis->cmd('GET', 'route:new.example'), "127.0.0.1:$port",
       'Redis has it');
    $e->finish;
};


subtest auth_request => sub {
    my $redis = RF::Redis->new;
    my $e = begins('auth_request', $redis);
    my %bearer = (headers => { Authorization => 'Bearer 0123456789abcdef' });
    my %wrong = (headers => { Authorization => 'Bearer 0123456789abcdee' });

    $redis->cmd('SET', 'token:0123456789abcdef', 'ann');

    for my $state ('with Redis', 'without Redis') {
        is($e->get('/api/')->{status}, 401, "no token, $state");
        is($e->get('/api/', %wrong)->{status}, 401, "a wrong one, $state");
        is($e->get('/api/', %bearer)->{status}, 200, "the right one, $state");
        is($e->get('/me/')->{status}, 401, "no user, $state");
        is($e->get('/me/', %bearer)->{body}, "/me/ for user ann\n",
           "the user, $state");
        is($e->request('POST', '/api/', %bearer, body => 'x')->{status}, 200,
           "POST, $state");
        is($e->get('/auth')->{status}, 401, "not for clients, $state");
        $redis->kill;
    }

    recovers($e, $redis);
    is($e->get('/api/', %bearer)->{status}, 200, 'and again');
    $e->finish;
};


subtest switches => sub {
    my $redis = RF::Redis->new;
    my $e = begins('switches', $redis);
    my %staff = (headers => { Cookie => 'staff=1' });

    is($e->get('/')->{body}, "the old one\n", 'no flag');
    is($e->put('8082/flag:new_ui', 'staff')->{status}, 204, 'for the staff');
    is($e->get('/', %staff)->{body}, "the new one\n", 'the staff');
    is($e->get('/')->{body}, "the old one\n", 'others');
    is($e->put('8082/switch:maintenance', 'on')->{status}, 204, 'maintenance');

    my $res = $e->get('/');
    is($res->{status}, 503, 'closed');
    is($res->{body}, "We will be back in two minutes.\n", 'a page');
    is($res->{headers}{'retry-after'}, 120, 'and when');

    is($e->del('8082/switch:maintenance')->{status}, 204, 'it is over');
    is($e->get('/')->{status}, 200, 'open');

    $redis->kill;

    is($e->get('/', %staff)->{body}, "the new one\n", 'without Redis');
    is($e->put('8082/switch:maintenance', 'on')->{status}, 204,
       'maintenance without Redis');
    is($e->get('/')->{status}, 503, 'closed');
    is($e->del('8082/switch:maintenance')->{status}, 204, 'it is over');
    is($e->get('/')->{status}, 200, 'open');
    is($e->put('8082/flag:new_ui', 'on')->{status}, 204, 'a flag for all');
    is($e->get('/')->{body}, "the new one\n", 'all');

    recovers($e, $redis);
    is($redis->cmd('GET', 'flag:new_ui'), 'on', 'Redis has it');
    is($redis->cmd('EXISTS', 'switch:maintenance'), 0, 'and not the other');
    $e->finish;
};


subtest counters => sub {
    my $redis = RF::Redis->new(persist => 1);
    my $e = begins('counters', $redis);
    my %key = (headers => { 'X-API-Key' => 'abcd' });

    is($e->get('/')->{headers}{'x-hits'}, 1, 'a hit');
    is($e->get('/')->{headers}{'x-hits'}, 2, 'another');
    is($e->get('/about')->{headers}{'x-hits'}, 1, 'of another page');
    is($e->get('/report')->{body}, "[\"2\",\"1\"]\n", 'the report');

    my ($hits) = grep { m{:/$} } @{ $redis->cmd('KEYS', 'hits:*') };
    ok($redis->cmd('TTL', $hits) > 172000, 'two days');

    is($e->get('/api/')->{status}, 401, 'no key');
    is($e->get('/api/', %key)->{body}, "request 1 of 999\n", 'a request');
    (my $quota = $hits) =~ s{^hits:(.*):/$}{quota:$1:abcd};
    $redis->cmd('SET', $quota, 998);
    is($e->get('/api/', %key)->{status}, 200, 'the last one');
    is($e->get('/api/', %key)->{status}, 429, 'one too many');

    $redis->stop;

    my $hit = $e->get('/')->{headers}{'x-hits'};
    is($hit, 3, 'counted without Redis');
    is($e->get('/')->{headers}{'x-hits'}, $hit + 1, 'and on');
    is($e->get('/api/', %key)->{status}, 429, 'still too many');

    $e->nginx->behind(sub {
        $redis->start;
        $redis->cmd('INCRBY', $hits, 10);
    });
    ok($e->nginx->wait_mode('normal', 30), 'Redis is back');
    is($redis->cmd('GET', $hits), 14, 'what others counted is in it');
    $e->finish;
};


subtest carts => sub {
    my $redis = RF::Redis->new;
    my $e = begins('carts', $redis);
    my $id = '0123456789abcdef';
    my %ann = (headers => { Cookie => "cart=$id" });
    my %bob = (headers => { Cookie => 'cart=fedcba9876543210' });
    my $post = sub { return $e->request('POST', @_)->{body} };

    is($e->get('/cart')->{status}, 401, 'no cookie');
    is($e->request('POST', '/cart/add/apple')->{status}, 401, 'for nothing');
    is($redis->cmd('DBSIZE'), 0, 'and nothing was done');

    is($post->('/cart/add/apple', %ann), "1\n", 'an apple');
    is($post->('/cart/add/apple', %ann), "2\n", 'another one');
    is($post->('/cart/set/pear/7', %ann), "7\n", 'pears');
    is($post->('/cart/add/plum', %ann), "1\n", 'a plum');
    is($post->('/cart/remove/plum', %ann), '1', 'no plum');
    is_deeply(pairs($e->get('/cart', %ann)), { apple => 2, pear => 7 },
              'the cart');
    is_deeply({ @{ $redis->cmd('HGETALL', "cart:$id") } },
              { apple => 2, pear => 7 }, 'Redis has it');
    ok($redis->cmd('TTL', "cart:$id") > 86300, 'for a day');

    # this one nginx never sees

    $redis->cmd('HSET', 'cart:fedcba9876543210', 'fig', 3, 'apple', 2);

    $redis->stop;

    is_deeply(pairs($e->get('/cart', %ann)), { apple => 2, pear => 7 },
              'the cart without Redis');
    is($post->('/cart/add/apple', %ann), "3\n", 'one apple more');
    is($post->('/cart/add/kiwi', %ann), "1\n", 'a kiwi');
    is($post->('/cart/remove/pear', %ann), '1', 'no pears');
    is_deeply(pairs($e->get('/cart', %ann)), { apple => 3, kiwi => 1 },
              'the cart');
    is($post->('/cart/add/apple', %bob), "1\n", 'the other cart');
    is_deeply(pairs($e->get('/cart', %bob)), { apple => 1 },
              'as far as it is known');

    $e->nginx->behind(sub {
        $redis->start;
        $redis->cmd('HSET', "cart:$id", 'apple', 12, 'pear', 7, 'melon', 1);
        $redis->cmd('HSET', 'cart:fedcba9876543210', 'fig', 3, 'apple', 2);
    });
    ok($e->nginx->wait_mode('normal', 30), 'Redis is back');

    my %merged = (apple => 13, kiwi => 1, melon => 1);
    is_deeply({ @{ $redis->cmd('HGETALL', "cart:$id") } }, \%merged,
              'what was done on both sides is in it');
    is_deeply(pairs($e->get('/cart', %ann)), \%merged, 'and is seen');
    is_deeply(pairs($e->get('/cart', %bob)), { apple => 3, fig => 3 },
              'the other one is whole');
    ok($redis->cmd('TTL', "cart:$id") > 86300, 'for a day');
    $e->finish;
};


subtest leaderboards => sub {
    my $redis = RF::Redis->new(persist => 1);
    my $e = begins('leaderboards', $redis);
    my $post = sub { return $e->request('POST', $_[0])->{body} };
    my $top = sub { return $e->get('/top')->{body} };

    $redis->cmd('ZADD', 'board', 50, 'old', 60, 'older');

    is($post->('/score/ann/120'), '1', 'a score');
    is($post->('/score/bob/90'), '1', 'another');
    is($post->('/score/ann/100'), '0', 'a worse one does not count');
    is($top->(), '["ann","120","bob","90","older","60","old","50"]', 'the top');
    is($e->get('/rank/bob')->{body}, 1, 'a rank');
    is($e->get('/rank/nobody')->{status}, 404, 'of nobody');
    is($post->('/won/ann'), '1', 'a victory');
    is($post->('/won/ann'), '2', 'another');

    $redis->stop;

    is($top->(), '["ann","120","bob","90","older","60","old","50"]',
       'the top without Redis');
    is($e->get('/rank/old')->{body}, 3, 'a rank');
    is($post->('/score/bob/130'), '1', 'a better score');
    is($post->('/score/ann/110'), '0', 'a worse one');
    is($post->('/score/eve/10'), '1', 'somebody new');
    is($top->(), '["bob","130","ann","120","older","60","old","50",'
                 . '"eve","10"]', 'the top');
    is($e->get('/rank/bob')->{body}, 0, 'a rank');
    is($post->('/won/ann'), '3', 'a victory');
    is($post->('/won/bob'), '1', 'of another one');
    is($e->get('/victories')->{body}, '["ann","3","bob","1"]', 'victories');

    $e->nginx->behind(sub {
        $redis->start;
        $redis->cmd('ZADD', 'board', 140, 'bob', 5, 'eve', 70, 'new');
        $redis->cmd('ZINCRBY', 'victories', 5, 'ann');
    });
    ok($e->nginx->wait_mode('normal', 30), 'Redis is back');
    is($top->(), '["bob","140","ann","120","new","70","older","60","old","50",'
                 . '"eve","10"]', 'the better score of both sides');
    is($e->get('/victories')->{body}, '["ann","8","bob","1"]',
       'the sum of both sides');
    $e->finish;
};


subtest limits => sub {
    my $redis = RF::Redis->new(persist => 1);
    my $e = begins('limits', $redis);

    # a minute has room for all of this

    sleep 60 - time % 60 if time % 60 > 35;

    is($e->get('/')->{body}, "request 1 of 99\n", 'a request');
    is($e->get('/')->{body}, "request 2 of 99\n", 'another');

    my ($window) = @{ $redis->cmd('KEYS', 'window:*') };
    ok($redis->cmd('TTL', $window) > 100, 'it goes');
    $redis->cmd('SET', $window, 96, 'EX', 120);
    is($e->get('/')->{body}, "request 97 of 99\n", 'from all hosts');

    # an entry for each hit, by the time

    my $now = 1_000_000;
    my $hits = sub {
        my ($ms, $id) = @_;

        my $replies = api($e, '8082/redis/multi-exec',
            [ 'ZREMRANGEBYSCORE', 'slide:ann', '-inf', $ms - 60000 ],
            [ 'ZADD', 'slide:ann', $ms, $id ],
            [ 'ZCARD', 'slide:ann' ],
            [ 'PEXPIRE', 'slide:ann', 60000 ]);

        return ref $replies ? $replies->[2] : $replies;
    };

    is($hits->($now, 'a'), 1, 'the first of a sliding window');
    is($hits->($now + 20000, 'b'), 2, 'the second');
    is($hits->($now + 40000, 'c'), 3, 'the third');
    is($hits->($now + 61000, 'd'), 3, 'the first has gone');
    like(api($e, '8082/redis/del/slide:ann'), qr/NOPERM/, 'and no more');

    # a window that is read as a whole is known

    my $bob = sub {
        return api($e, '8082/redis/multi-exec',
            [ 'ZREMRANGEBYSCORE', 'slide:bob', '-inf', $_[0] - 60000 ],
            [ 'ZADD', 'slide:bob', $_[0], "hit $_[0]" ],
            [ 'ZCARD', 'slide:bob' ],
            [ 'PEXPIRE', 'slide:bob', 60000 ])->[2];
    };

    $bob->($now);
    is($bob->($now + 30000), 2, 'another window');
    api($e, '8082/redis/zrange/slide:bob/0/-1/WITHSCORES');

    $redis->stop;

    is($e->get('/')->{body}, "request 98 of 99\n", 'without Redis');
    is($e->get('/')->{body}, "request 99 of 99\n", 'the last one');
    is($e->get('/')->{status}, 429, 'one too many');

    my $seen = $hits->($now + 62000, 'e');
    ok($seen == 1 || $seen == 4, 'what is known slides on');
    is($bob->($now + 31000), 3, 'all of the other window is known');
    is($bob->($now + 61000), 3, 'it slides');
    is($hits->($now + 82000, 'f'), $seen == 1 ? 2 : 4, 'one more');
    is($hits->($now + 82001, 'g'), $seen == 1 ? 3 : 5, 'one more');

    $e->nginx->behind(sub {
        $redis->start;
        $redis->cmd('ZADD', 'slide:ann', $now + 82002, 'elsewhere');
    });
    ok($e->nginx->wait_mode('normal', 30), 'Redis is back');
    is($redis->cmd('GET', $window), 100, 'the window');
    is_deeply($redis->cmd('ZRANGE', 'slide:ann', 0, -1),
              [ qw(c d e f g elsewhere) ], 'the sliding window');
    is($hits->($now + 82003, 'h'), 7, 'goes on');
    ok($redis->cmd('PTTL', 'slide:ann') > 50000, 'and ends');
    $e->finish;
};


subtest queue => sub {
    my $redis = RF::Redis->new(persist => 1);
    my $e = begins('queue', $redis);
    my $add = sub {
        my $res = $e->request('POST', '8082/queue/rpush/jobs', body => $_[0]);
        return $res->{body};
    };
    my $next = sub { return $e->request('POST', '8082/next') };

    is($next->()->{status}, 404, 'nothing to do');
    is($add->('mail ann'), '{"result":1}', 'a job');
    is($add->("mail\n\"bob\""), '{"result":2}', 'another');
    is($add->($_), sprintf('{"result":%d}', $_ + 2), 'more') for 1 .. 4;
    is($next->()->{body}, 'mail ann', 'the first one');
    is($e->get('8082/length')->{body}, 5, 'are left');
    is($e->get('8082/next')->{status}, 403, 'not by GET');

    $redis->stop;

    is($next->()->{body}, "mail\n\"bob\"", 'the next one without Redis');
    is($next->()->{body}, '1', 'and one more');
    is($add->('new'), '{"result":4}', 'a job');
    is($e->get('8082/length')->{body}, 4, 'are left');

    $e->nginx->behind(sub {
        $redis->start;
        $redis->cmd('RPUSH', 'jobs', 'elsewhere');
    });
    ok($e->nginx->wait_mode('normal', 30), 'Redis is back');
    is_deeply($redis->cmd('LRANGE', 'jobs', 0, -1),
              [ qw(2 3 4 elsewhere new) ],
              'what was taken has gone, what was added is there');
    is($next->()->{body}, '2', 'the next one');
    $e->finish;
};


subtest features => sub {
    my $redis = RF::Redis->new;
    my $e = begins('features', $redis);
    my %who = map { $_ => { headers => { Cookie => "user=$_" } } }
              qw(ann bob eve);
    my $is = sub { return $e->get('/search', %{ $who{ $_[0] } })->{body} };

    $redis->cmd('SADD', 'feature:search', 'ann', 'eve');

    is($is->('ann'), "the new search\n", 'she has it');
    is($is->('bob'), "the old search\n", 'he has not');
    is($e->get('/search')->{body}, "the old search\n", 'nobody');
    is(api($e, '8082/redis/sadd/feature:search/zoe'), 1, 'the operator adds');

    $redis->stop;

    is($is->('ann'), "the new search\n", 'she has it without Redis');
    is($is->('bob'), "the old search\n", 'he has not');
    is($is->('eve'), "the old search\n", 'of her nobody knows');
    is(api($e, '8082/redis/sadd/feature:search/bob'), 1, 'one more');
    is(api($e, '8082/redis/srem/feature:search/ann'), 1, 'one less');
    is($is->('bob'), "the new search\n", 'he has it');
    is($is->('ann'), "the old search\n", 'she has not');

    $e->nginx->behind(sub {
        $redis->start;
        $redis->cmd('SADD', 'feature:search', 'ann', 'eve', 'max');
    });
    ok($e->nginx->wait_mode('normal', 30), 'Redis is back');
    is_deeply([ sort @{ api($e, '8082/redis/smembers/feature:search') } ],
              [ qw(bob eve max) ], 'the members of both sides');

    # it was read as a whole now

    $redis->stop;

    is($is->('eve'), "the new search\n", 'she is known');
    is($is->('ann'), "the old search\n", 'she has not');

    recovers($e, $redis);
    $e->finish;
};


subtest openresty => sub {
    plan skip_all => 'libnginx-mod-http-lua is not installed'
        unless -f "$LUA_MODULES/ngx_http_lua_module.so";
    plan skip_all => 'no Lua under the sanitizers' if $RF::SANITIZE;

    my $redis = RF::Redis->new;
    my $e = begins('openresty', $redis);

    is($e->get('/hello/ann')->{body}, "seen for the first time\n", 'a miss');
    like($e->get('/hello/ann')->{body}, qr/^seen: 2/, 'a hit');
    my $ttl = $redis->cmd('TTL', 'hello:/hello/ann');
    ok($ttl > 590 && $ttl <= 600, 'ten minutes');

    $redis->kill;

    like($e->get('/hello/ann')->{body}, qr/^seen: 2/, 'without Redis');
    is($e->get('/hello/bob')->{body}, "seen for the first time\n",
       'a miss without Redis');
    like($e->get('/hello/bob')->{body}, qr/^seen: 2/, 'and a hit');

    recovers($e, $redis);
    ok($redis->cmd('EXISTS', 'hello:/hello/bob'), 'Redis has it');
    $e->finish;
};


# what the texts show

sub shown {
    my ($file) = @_;

    return RF::slurp($file) =~ /^```nginx\n(.*?)^```/msg;
}

sub plain {
    my ($text) = @_;

    return join "\n", map { s/^\s+//r } split /\n/, $text;
}

my %example = map { $_ => plain(RF::slurp($_)) } glob 'examples/*.conf';

is((shown('README.md'))[0], RF::slurp('examples/minimal.conf'),
   "README.md shows examples/minimal.conf");

for my $block (shown('docs/guide.md')) {
    my $text = plain($block);
    ok((grep { index($example{$_}, $text) >= 0 } keys %example),
       'the guide shows what is in an example') or diag($block);
}

done_testing;
