/*
 * What nginx has set aside: looking at it.  See rf_files_readmit.c for the way
 * back.
 */

#include "rf_files_quarantine.h"


static int rf_files_names_compare(const void *one, const void *two);
static u_char *rf_files_content(ngx_fd_t fd, struct stat *st, size_t *len);
static void rf_files_reason(rf_files_set_aside_t *aside);
static void rf_files_quarantine_line(rf_files_t *run, const char *name,
    rf_files_set_aside_t *aside);


ngx_int_t
rf_files_quarantine_open(rf_files_t *run, rf_files_names_t *names)
{
    DIR            *dir;
    ngx_fd_t        base, copy;
    ngx_err_t       err;
    struct dirent  *de;

    ngx_memzero(names, sizeof(rf_files_names_t));
    names->dir = NGX_INVALID_FILE;

    base = open((char *) run->path.data,
                O_RDONLY|O_DIRECTORY|O_NONBLOCK|O_CLOEXEC);

    if (base != NGX_INVALID_FILE) {
        names->dir = ngx_rf_file_dir_open(base, "quarantine", 0, NULL);
        err = errno;
        close(base);
        errno = err;
    }

    copy = (names->dir == NGX_INVALID_FILE)
           ? NGX_INVALID_FILE
           : openat(names->dir, ".", NGX_RF_FILE_DIR_FLAGS);

    dir = (copy == NGX_INVALID_FILE) ? NULL : fdopendir(copy);

    if (dir == NULL) {
        if (names->dir == NGX_INVALID_FILE && errno == NGX_ENOENT) {
            return NGX_OK;
        }

        rf_files_say("%s/quarantine: %s", run->path.data, strerror(errno));
        run->failed = 1;
        return NGX_ERROR;
    }

    while ((de = readdir(dir)) != NULL) {

        if (de->d_name[0] == '.') {
            continue;
        }

        names->elts = realloc(names->elts, (names->n + 1) * sizeof(char *));

        if (names->elts == NULL
            || (names->elts[names->n++] = strdup(de->d_name)) == NULL)
        {
            rf_files_oom();
        }
    }

    (void) closedir(dir);

    if (names->n) {
        qsort(names->elts, names->n, sizeof(char *), rf_files_names_compare);
    }

    return NGX_OK;
}


void
rf_files_quarantine_close(rf_files_names_t *names)
{
    ngx_uint_t  i;

    for (i = 0; i < names->n; i++) {
        free(names->elts[i]);
    }

    free(names->elts);

    if (names->dir != NGX_INVALID_FILE) {
        close(names->dir);
    }
}


static int
rf_files_names_compare(const void *one, const void *two)
{
    return strcmp(*(char *const *) one, *(char *const *) two);
}


ngx_uint_t
rf_files_quarantined(rf_files_t *run)
{
    ngx_uint_t         n;
    rf_files_names_t   names;

    (void) rf_files_quarantine_open(run, &names);
    n = names.n;
    rf_files_quarantine_close(&names);

    return n;
}


ngx_int_t
rf_files_aside_read(rf_files_names_t *names, const char *name,
    rf_files_set_aside_t *aside)
{
    ngx_fd_t   fd;
    ngx_err_t  err;

    ngx_memzero(aside, sizeof(rf_files_set_aside_t));

    if (name[0] == '\0' || strchr(name, '/')) {
        errno = NGX_ENOENT;
        return NGX_ERROR;
    }

    fd = openat(names->dir, name, O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

    if (fd == NGX_INVALID_FILE) {

        /* a symlink, or a socket: as nginx has found it */

        if (fstatat(names->dir, name, &aside->st, AT_SYMLINK_NOFOLLOW) == 0
            && !S_ISREG(aside->st.st_mode))
        {
            aside->why = "not a regular file";
            return NGX_OK;
        }

        return NGX_ERROR;
    }

    if (fstat(fd, &aside->st) != 0) {
        err = errno;
        close(fd);
        errno = err;
        return NGX_ERROR;
    }

    if (!S_ISREG(aside->st.st_mode)) {
        close(fd);
        aside->why = "not a regular file";
        return NGX_OK;
    }

    aside->data = rf_files_content(fd, &aside->st, &aside->len);
    err = errno;
    close(fd);
    errno = err;

    if (aside->data == NULL) {
        return NGX_ERROR;
    }

    switch (ngx_rf_codec_decode(aside->data, aside->len, &aside->rec,
                                &aside->why))
    {
    case NGX_OK:
        aside->why = NULL;
        rf_files_reason(aside);
        return NGX_OK;

    case NGX_DECLINED:
        return NGX_OK;

    default:
        rf_files_oom();
    }
}


void
rf_files_aside_free(rf_files_set_aside_t *aside)
{
    free(aside->data);
    free(aside->rec);
    free(aside->reason);
}


/* NULL: errno */

static u_char *
rf_files_content(ngx_fd_t fd, struct stat *st, size_t *len)
{
    u_char   *data;
    ssize_t   n;

    data = malloc(st->st_size + 1);

    if (data == NULL) {
        rf_files_oom();
    }

    for (*len = 0; *len < (size_t) st->st_size; *len += n) {

        n = read(fd, data + *len, st->st_size - *len);

        if (n == 0) {
            break;
        }

        if (n == -1) {
            if (errno == NGX_EINTR) {
                n = 0;
                continue;
            }

            free(data);
            return NULL;
        }
    }

    data[*len] = '\0';

    return data;
}


/* the codec passes over what is not part of a record */

static void
rf_files_reason(rf_files_set_aside_t *aside)
{
    cJSON      *json, *item;
    ngx_str_t   from, to;

    json = cJSON_ParseWithLength((char *) aside->data, aside->len);

    item = cJSON_GetObjectItemCaseSensitive(json, "reason");

    if (cJSON_IsString(item)) {
        aside->reason = strdup(item->valuestring);

    } else {
        item = cJSON_GetObjectItemCaseSensitive(json, "reason_base64");

        if (cJSON_IsString(item)) {
            from.data = (u_char *) item->valuestring;
            from.len = strlen(item->valuestring);
            to.data = malloc(ngx_base64_decoded_length(from.len) + 1);

            if (to.data && ngx_decode_base64(&to, &from) == NGX_OK) {
                to.data[to.len] = '\0';
                aside->reason = (char *) to.data;

            } else {
                free(to.data);
            }
        }
    }

    cJSON_Delete(json);
}


void
rf_files_quarantine_list(rf_files_t *run)
{
    ngx_uint_t             i;
    rf_files_names_t       names;
    rf_files_set_aside_t   aside;

    if (rf_files_quarantine_open(run, &names) != NGX_OK) {
        return;
    }

    for (i = 0; i < names.n; i++) {

        if (rf_files_aside_read(&names, names.elts[i], &aside) != NGX_OK) {

            if (errno != NGX_ENOENT) {
                rf_files_say("quarantine/%s: %s", names.elts[i],
                             strerror(errno));
                run->failed = 1;
            }

            continue;
        }

        rf_files_quarantine_line(run, names.elts[i], &aside);
        rf_files_aside_free(&aside);
    }

    rf_files_quarantine_close(&names);
}


static void
rf_files_quarantine_line(rf_files_t *run, const char *name,
    rf_files_set_aside_t *aside)
{
    char         when[32];
    cJSON       *json;
    ngx_str_t    s;
    const char  *why;

    /* a segment is no record, and nothing is wrong with that */

    why = aside->reason;

    if (aside->rec == NULL) {
        why = (strncmp(name, "journal-", 8) == 0)
              ? "a damaged segment of the journal" : aside->why;
    }

    s.data = (u_char *) name;
    s.len = strlen(name);

    if (run->json) {
        json = rf_files_json_object();
        rf_files_json_string(json, "name", &s);
        rf_files_json_number(json, "bytes", aside->st.st_size);
        rf_files_json_number(json, "time_ms",
                             (double) aside->st.st_mtime * 1000);

        if (aside->rec) {
            rf_files_json_string(json, "key", &aside->rec->key);
            rf_files_json_text(json, "type",
                               ngx_rf_codec_types[aside->rec->type]);
            rf_files_json_text(json, "kind", rf_files_kind(aside->rec));
            rf_files_json_version(json, "version", aside->rec->version);
        }

        if (why) {
            rf_files_json_text(json, aside->rec ? "reason" : "no_record", why);
        }

        rf_files_json_print(json, 0);
        return;
    }

    rf_files_put_escaped(stdout, s.data, s.len);
    printf("\t%lld\t%s\t%s\t", (long long) aside->st.st_size,
           rf_files_time(when, (int64_t) aside->st.st_mtime * 1000),
           aside->rec ? rf_files_kind(aside->rec) : "no record");

    if (aside->rec) {
        rf_files_put_escaped(stdout, aside->rec->key.data,
                             aside->rec->key.len);

    } else {
        putchar('-');
    }

    putchar('\t');

    if (why) {
        rf_files_put_escaped(stdout, (u_char *) why, strlen(why));
    }

    putchar('\n');
}


void
rf_files_quarantine_show(rf_files_t *run)
{
    cJSON                 *json;
    ngx_str_t              s;
    const char            *name;
    rf_files_names_t       names;
    rf_files_set_aside_t   aside;

    name = run->args[0];

    if (rf_files_quarantine_open(run, &names) != NGX_OK) {
        return;
    }

    if (rf_files_aside_read(&names, name, &aside) != NGX_OK) {
        rf_files_say("quarantine/%s: %s", name, strerror(errno));

        if (errno == NGX_ENOENT) {
            run->problem = 1;

        } else {
            run->failed = 1;
        }

        rf_files_quarantine_close(&names);
        return;
    }

    json = rf_files_json_object();

    s.data = (u_char *) name;
    s.len = strlen(name);
    rf_files_json_string(json, "name", &s);

    if (aside.rec) {
        if (aside.reason) {
            rf_files_json_text(json, "reason", aside.reason);
        }

        rf_files_json_add(json, "record", rf_files_json_record(aside.rec));

    } else {
        rf_files_json_text(json, "no_record", aside.why);

        s.data = aside.data;
        s.len = aside.len;
        rf_files_json_string(json, "content", &s);
    }

    rf_files_json_print(json, 1);

    rf_files_aside_free(&aside);
    rf_files_quarantine_close(&names);
}
