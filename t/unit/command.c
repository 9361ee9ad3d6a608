#include "rf_unit.h"
#include "ngx_rf_command.h"


RF_UNIT(command_find)
{
    ngx_str_t                name;
    const ngx_rf_command_t  *command;

    ngx_str_set(&name, "GeT");
    command = ngx_rf_command_find(&name);

    if (ok(command != NULL, "GET in any case")) {
        is_int(command->id, NGX_RF_CMD_GET, "its id");
        is_int(command->arity, 2, "its arity");
        is_int(command->first, 1, "where its key is");
    }

    ngx_str_set(&name, "nosuch");
    ok(ngx_rf_command_find(&name) == NULL, "no such command");

    name.len = 0;
    ok(ngx_rf_command_find(&name) == NULL, "no name");
}


RF_UNIT(command_check)
{
    ngx_str_t                argv[3], err;
    const ngx_rf_command_t  *command;

    ngx_str_set(&argv[0], "GET");
    ngx_str_set(&argv[1], "a");
    ngx_str_set(&argv[2], "b");

    is_int(ngx_rf_command_check(pool, 2, argv, &command, &err), NGX_OK,
           "GET a");
    is_int(ngx_rf_command_check(pool, 3, argv, &command, &err), NGX_ERROR,
           "GET a b");
    is_text(&err, "ERR wrong number of arguments for 'get' command",
            "in Redis' words");

    ngx_str_set(&argv[0], "NOSUCH");
    is_int(ngx_rf_command_check(pool, 3, argv, &command, &err), NGX_ERROR,
           "NOSUCH a b");
    is_text(&err, "ERR unknown command 'NOSUCH', with args beginning with: "
                  "'a' 'b' ", "in Redis' words");
}
