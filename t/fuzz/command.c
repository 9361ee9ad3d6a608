/*
 * The command table and the rules of what may be run.  The input is text:
 * arguments, each ended by a byte 0x1e, then after an empty one the rules.
 */

#include "fuzz.h"
#include "ngx_rf_command.h"
#include "ngx_rf_command_rules.h"


#define COMMAND_ARGS   64
#define COMMAND_RULES  32
#define COMMAND_END    0x1e


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void command_known(const ngx_rf_command_t *command, ngx_uint_t argc,
    ngx_str_t *argv, ngx_uint_t checked);
static void command_refused(ngx_str_t *err);
static void command_find(ngx_pool_t *pool, ngx_str_t *name);
static ngx_uint_t command_rules(fuzz_input_t *in, ngx_pool_t *pool,
    ngx_rf_command_rule_t *rules);
static void command_allowed(ngx_rf_command_rule_t *rules, ngx_uint_t n,
    const ngx_rf_command_t *command, ngx_uint_t argc, ngx_str_t *argv);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_int_t                rc;
    ngx_str_t                argv[COMMAND_ARGS], err;
    ngx_uint_t               argc, n;
    ngx_pool_t              *pool;
    fuzz_input_t             in;
    ngx_rf_command_rule_t    rules[COMMAND_RULES];
    const ngx_rf_command_t  *command, *found;

    in.pos = data;
    in.last = data + size;

    pool = ngx_create_pool(1024, &fuzz_log);
    fuzz_check(pool != NULL);

    for (argc = 0; argc < COMMAND_ARGS && fuzz_left(&in); argc++) {
        argv[argc] = fuzz_until(&in, pool, COMMAND_END);

        if (argc && argv[argc].len == 0) {
            break;
        }
    }

    rc = ngx_rf_command_check(pool, argc, argv, &command, &err);
    found = argc ? ngx_rf_command_find(&argv[0]) : NULL;

    if (rc == NGX_OK) {
        fuzz_check(command == found);

    } else {
        fuzz_check(rc == NGX_ERROR && command == NULL);
        command_refused(&err);
    }

    if (argc) {
        command_find(pool, &argv[0]);
    }

    n = command_rules(&in, pool, rules);

    if (found) {
        command_known(found, argc, argv, rc == NGX_OK);
        command_allowed(rules, n, found, argc, argv);
    }

    ngx_destroy_pool(pool);

    return 0;
}


static void
command_known(const ngx_rf_command_t *command, ngx_uint_t argc,
    ngx_str_t *argv, ngx_uint_t checked)
{
    ngx_uint_t  i, keys;

    fuzz_check(ngx_rf_command_categories(command) != 0);
    fuzz_check(!ngx_rf_command_is_key(command, argc, 0));
    fuzz_check(!ngx_rf_command_is_key(command, argc, argc));
    fuzz_check(!ngx_rf_command_is_key(command, argc, (ngx_uint_t) -1));

    for (i = 0, keys = 0; i < argc; i++) {
        keys += ngx_rf_command_is_key(command, argc, i);
    }

    if (!checked) {
        return;
    }

    fuzz_check(!(command->flags & NGX_RF_CMD_REFUSED));
    fuzz_check(command->arity < 0 || (ngx_uint_t) command->arity == argc);
    fuzz_check(keys != 0 || command->first == 0);

    if (ngx_rf_command_repeatable(command, argc, argv)) {
        fuzz_check(command->flags & NGX_RF_CMD_REPEAT);
    }
}


/* an error is one line, and as long as Redis' at most */

static void
command_refused(ngx_str_t *err)
{
    size_t  i;

    fuzz_check(err->len > 4 && err->len < 512);
    fuzz_check(ngx_strncmp(err->data, "ERR ", 4) == 0);

    for (i = 0; i < err->len; i++) {
        fuzz_check(err->data[i] != CR && err->data[i] != LF
                   && err->data[i] != '\0');
    }
}


/* in any case; and a category is none that differs from itself */

static void
command_find(ngx_pool_t *pool, ngx_str_t *name)
{
    size_t     i;
    ngx_str_t  upper;

    upper.len = name->len;
    upper.data = ngx_pnalloc(pool, name->len ? name->len : 1);
    fuzz_check(upper.data != NULL);

    for (i = 0; i < name->len; i++) {
        upper.data[i] = ngx_toupper(name->data[i]);
    }

    fuzz_check(ngx_rf_command_find(name) == ngx_rf_command_find(&upper));
    fuzz_check(ngx_rf_command_category(name)
               == ngx_rf_command_category(&upper));
}


static ngx_uint_t
command_rules(fuzz_input_t *in, ngx_pool_t *pool,
    ngx_rf_command_rule_t *rules)
{
    ngx_int_t    rc;
    ngx_str_t    text;
    ngx_uint_t   n;
    const char  *err;

    for (n = 0; n < COMMAND_RULES && fuzz_left(in); /* void */ ) {
        text = fuzz_until(in, pool, COMMAND_END);
        err = NULL;

        rc = ngx_rf_command_rule(&rules[n], &text, &err);

        if (rc == NGX_OK) {
            fuzz_check(err == NULL);
            fuzz_check((rules[n].command != NULL)
                       != (rules[n].categories != 0));
            n++;

        } else {
            fuzz_check(rc == NGX_DECLINED && err != NULL);
        }
    }

    return n;
}


static void
command_allowed(ngx_rf_command_rule_t *rules, ngx_uint_t n,
    const ngx_rf_command_t *command, ngx_uint_t argc, ngx_str_t *argv)
{
    ngx_str_t              all, none;
    const char            *err;
    ngx_rf_command_rule_t  last[COMMAND_RULES + 1];

    (void) ngx_rf_command_allowed(rules, n, command, argc, argv);

    /* one for all of them behind the others decides */

    ngx_str_set(&all, "allcommands");
    ngx_str_set(&none, "-@all");

    ngx_memcpy(last, rules, n * sizeof(ngx_rf_command_rule_t));

    fuzz_check(ngx_rf_command_rule(&last[n], &all, &err) == NGX_OK);
    fuzz_check(ngx_rf_command_allowed(last, n + 1, command, argc, argv) == 1);

    fuzz_check(ngx_rf_command_rule(&last[n], &none, &err) == NGX_OK);
    fuzz_check(ngx_rf_command_allowed(last, n + 1, command, argc, argv) == 0);
}
