/*
 * redis-fallback-files: looks into the path of a store, and puts records back
 * that were set aside.  docs/redis-fallback-files.1 describes it.
 *
 * This file owns the command line and all that is said; commands are in
 * rf_files_*.c.  Only "readmit" writes, and only while no nginx uses the path.
 */

#include "rf_files.h"
#include <getopt.h>
#include <sys/time.h>


typedef struct {
    const char           *name;
    const char           *second;       /* word, or NULL */
    void                (*handler)(rf_files_t *run);
    ngx_uint_t            min;          /* arguments after the path */
    ngx_uint_t            max;
} rf_files_command_t;


static void rf_files_options(rf_files_t *run, int argc, char **argv);
static void rf_files_option(rf_files_t *run, int c);
static const rf_files_command_t *rf_files_command(int argc, char **argv,
    int *next);
static void rf_files_path(rf_files_t *run, char *path);
static void rf_files_levels(rf_files_t *run, const char *text);
static void rf_files_database(rf_files_t *run, const char *text);
static void rf_files_help(void);
static void rf_files_usage(const char *fmt, ...)
    __attribute__((format(printf, 1, 2), noreturn));
static int rf_files_end(rf_files_t *run, int code);


static const struct option  rf_files_long_options[] = {
    { "all",      no_argument,       NULL, 'a' },
    { "database", required_argument, NULL, 'd' },
    { "escaped",  no_argument,       NULL, 'e' },
    { "help",     no_argument,       NULL, 'h' },
    { "json",     no_argument,       NULL, 'j' },
    { "levels",   required_argument, NULL, 'l' },
    { "redis",    no_argument,       NULL, 'r' },
    { "version",  no_argument,       NULL, 'V' },
    { NULL, 0, NULL, 0 }
};


static const rf_files_command_t  rf_files_commands[] = {
    { "list",       NULL,   rf_files_list,            0, 0 },
    { "show",       NULL,   rf_files_show,            1, 1 },
    { "count",      NULL,   rf_files_count,           0, 0 },
    { "verify",     NULL,   rf_files_verify,          0, 0 },
    { "export",     NULL,   rf_files_export,          0, 0 },
    { "quarantine", "list", rf_files_quarantine_list, 0, 0 },
    { "quarantine", "show", rf_files_quarantine_show, 1, 1 },
    { "readmit",    NULL,   NULL,                     0, 1000000 },
    { NULL, NULL, NULL, 0, 0 }
};


int
main(int argc, char **argv)
{
    int                        next, code;
    rf_files_t                 run;
    struct timeval             tv;
    const rf_files_command_t  *command;

    ngx_memzero(&run, sizeof(rf_files_t));

    rf_files_options(&run, argc, argv);

    command = rf_files_command(argc, argv, &next);

    if (next == argc) {
        rf_files_usage("%s needs a PATH", argv[optind]);
    }

    rf_files_path(&run, argv[next]);

    run.args = argv + next + 1;
    run.nargs = argc - next - 1;

    if (run.nargs < command->min || run.nargs > command->max) {
        rf_files_usage(run.nargs < command->min ? "%s: arguments are missing"
                                                : "%s: too many arguments",
                       command->name);
    }

    (void) gettimeofday(&tv, NULL);
    run.now = (int64_t) tv.tv_sec * 1000 + tv.tv_usec / 1000;

    if (command->handler == rf_files_export && run.json == run.redis) {
        rf_files_usage("export: --json or --redis?");
    }

    if (command->handler == NULL && run.all == (run.nargs != 0)) {
        rf_files_usage("readmit: either names or --all");
    }

    code = RF_FILES_OK;

    if (command->handler == NULL) {
        code = rf_files_readmit(&run);

    } else if (rf_files_open(&run) != NGX_OK) {
        code = RF_FILES_ERROR;

    } else {
        command->handler(&run);
    }

    return rf_files_end(&run, code);
}


static void
rf_files_options(rf_files_t *run, int argc, char **argv)
{
    int  c;

    for ( ;; ) {
        c = getopt_long(argc, argv, "ad:ehjl:rV", rf_files_long_options, NULL);

        if (c == -1) {
            return;
        }

        rf_files_option(run, c);
    }
}


static void
rf_files_option(rf_files_t *run, int c)
{
    switch (c) {

    case 'a':
        run->all = 1;
        break;

    case 'd':
        rf_files_database(run, optarg);
        break;

    case 'e':
        run->escaped = 1;
        break;

    case 'h':
        rf_files_help();
        exit(rf_files_end(run, RF_FILES_OK));

    case 'j':
        run->json = 1;
        break;

    case 'l':
        rf_files_levels(run, optarg);
        break;

    case 'r':
        run->redis = 1;
        break;

    case 'V':
        printf("%s %s\n", RF_FILES_NAME, NGX_RF_VERSION);
        exit(rf_files_end(run, RF_FILES_OK));

    default:
        /* getopt has said it */
        exit(RF_FILES_USAGE);
    }
}


static const rf_files_command_t *
rf_files_command(int argc, char **argv, int *next)
{
    const char                *word, *second;
    const rf_files_command_t  *command;

    if (optind == argc) {
        rf_files_usage("which command?");
    }

    word = argv[optind];
    second = (optind + 1 < argc) ? argv[optind + 1] : "";

    for (command = rf_files_commands; command->name; command++) {

        if (strcmp(word, command->name) != 0
            || (command->second && strcmp(second, command->second) != 0))
        {
            continue;
        }

        *next = optind + (command->second ? 2 : 1);

        return command;
    }

    if (strcmp(word, "quarantine") == 0) {
        rf_files_usage("quarantine: list or show?");
    }

    rf_files_usage("there is no command \"%s\"", word);
}


static void
rf_files_path(rf_files_t *run, char *path)
{
    size_t  len;

    len = strlen(path);

    while (len > 1 && path[len - 1] == '/') {
        path[--len] = '\0';
    }

    if (len == 0) {
        rf_files_usage("the PATH is empty");
    }

    run->path.data = (u_char *) path;
    run->path.len = len;
}


static void
rf_files_levels(rf_files_t *run, const char *text)
{
    int       n;
    unsigned  l[NGX_RF_FILE_LEVELS];

    n = 0;

    if (sscanf(text, "%2u:%2u:%2u%n", &l[0], &l[1], &l[2], &n) != 3
        || text[n] != '\0' || l[0] + l[1] + l[2] > NGX_RF_FILE_HEX)
    {
        rf_files_usage("--levels: \"%s\" is not like 2:2:2", text);
    }

    run->levels[0] = l[0];
    run->levels[1] = l[1];
    run->levels[2] = l[2];
    run->levels_given = 1;
}


static void
rf_files_database(rf_files_t *run, const char *text)
{
    uint64_t  n;

    if (run->databases
        || ngx_rf_codec_uint(text, 10, &n) != NGX_OK
        || n > NGX_MAX_INT_T_VALUE)
    {
        rf_files_usage("--database: \"%s\" is not the number of one database",
                       text);
    }

    run->databases = malloc(sizeof(ngx_uint_t));

    if (run->databases == NULL) {
        rf_files_oom();
    }

    run->databases[0] = (ngx_uint_t) n;
    run->ndatabases = 1;
    run->database_given = 1;
}


static void
rf_files_help(void)
{
    printf(
"usage: " RF_FILES_NAME " [OPTIONS] COMMAND PATH [ARGS]\n"
"\n"
"Looks into PATH, the \"path\" of a redis_fallback_store: into its files and\n"
"its journal.  Only readmit changes anything, and needs nginx stopped.\n"
"\n"
"  list PATH                   a line for each pending key: key, type, kind,\n"
"                              version, time, expiry, where it is, database\n"
"  show PATH KEY               everything that is known of a key, as JSON\n"
"  count PATH                  how many there are of what\n"
"  verify PATH                 looks for damage\n"
"  export --json PATH          all pending records, one JSON object a line\n"
"  export --redis PATH         as commands for redis-cli --pipe\n"
"  quarantine list PATH        what was set aside\n"
"  quarantine show PATH NAME   one of these files\n"
"  readmit PATH NAME...        makes a record of the quarantine pending again\n"
"  readmit --all PATH          all of them that are records\n"
"\n"
"  -d, --database N    only this database; all, otherwise\n"
"  -e, --escaped       KEY is written as list writes it: \\xHH, \\\\\n"
"  -j, --json          list, count, verify, quarantine list: JSON\n"
"  -l, --levels L:L:L  instead of those in PATH/N/layout\n"
"  -h, --help          this\n"
"  -V, --version\n"
"\n"
"Exit codes: 0 all right; 1 damage was found, a record was refused, or there\n"
"is no such key; 2 wrong usage; 3 something cannot be read or written; 4 PATH\n"
"is in use by a running nginx (readmit).\n");
}


static void
rf_files_usage(const char *fmt, ...)
{
    va_list  args;

    fprintf(stderr, RF_FILES_NAME ": ");

    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);

    fprintf(stderr, "\ntry " RF_FILES_NAME " --help\n");

    exit(RF_FILES_USAGE);
}


/* what could not be written to the standard output was not done */

static int
rf_files_end(rf_files_t *run, int code)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        rf_files_say("standard output: %s", strerror(errno));
        code = RF_FILES_ERROR;
    }

    free(run->databases);

    if (code != RF_FILES_OK) {
        return code;
    }

    return run->failed ? RF_FILES_ERROR
                       : run->problem ? RF_FILES_PROBLEM : RF_FILES_OK;
}


void
rf_files_say(const char *fmt, ...)
{
    va_list  args;

    fprintf(stderr, RF_FILES_NAME ": ");

    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);

    fputc('\n', stderr);
}


void
rf_files_oom(void)
{
    rf_files_say("no memory");
    exit(RF_FILES_ERROR);
}


void
rf_files_error(rf_files_t *run, ngx_rf_file_error_t *error)
{
    if (error->what == NULL || error->err == NGX_ENOENT) {
        return;
    }

    if (error->err) {
        run->failed = 1;

    } else {
        run->problem = 1;
    }

    fprintf(stderr, RF_FILES_NAME ": ");
    rf_files_put_escaped(stderr, error->name, ngx_strlen(error->name));

    if (error->err) {
        fprintf(stderr, ": %s failed: %s\n", error->what,
                strerror(error->err));

    } else {
        fprintf(stderr, ": %s\n", error->what);
    }
}


void
rf_files_put_escaped(FILE *out, const u_char *data, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {

        if (data[i] == '\\') {
            fputs("\\\\", out);

        } else if (data[i] >= 0x20 && data[i] < 0x7f) {
            fputc(data[i], out);

        } else {
            fprintf(out, "\\x%02x", data[i]);
        }
    }
}


ngx_int_t
rf_files_unescape(ngx_str_t *s)
{
    u_char     *from, *to, *last;
    ngx_int_t   n;

    to = s->data;
    last = s->data + s->len;

    for (from = s->data; from < last; from++) {

        if (*from != '\\') {
            *to++ = *from;
            continue;
        }

        if (last - from >= 2 && from[1] == '\\') {
            *to++ = '\\';
            from++;
            continue;
        }

        n = (last - from >= 4 && from[1] == 'x') ? ngx_hextoi(from + 2, 2)
                                                 : NGX_ERROR;
        if (n == NGX_ERROR) {
            return NGX_DECLINED;
        }

        *to++ = (u_char) n;
        from += 3;
    }

    s->len = to - s->data;

    return NGX_OK;
}


char *
rf_files_time(char *text, int64_t ms)
{
    size_t      n;
    time_t      t;
    struct tm   tm;

    t = (time_t) (ms / 1000);

    if (ms <= 0 || gmtime_r(&t, &tm) == NULL || tm.tm_year > 8099) {
        /* later than 9999, which nothing else would read */
        (void) snprintf(text, 32, "%lld", (long long) ms);
        return text;
    }

    n = strftime(text, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    (void) snprintf(text + n, 32 - n, ".%03dZ", (int) (ms % 1000));

    return text;
}


const char *
rf_files_kind(ngx_rf_record_t *rec)
{
    if (rec->pending == NGX_RF_DELTA) {
        return "delta";
    }

    return rec->type == NGX_RF_NONE ? "tombstone" : "replace";
}
