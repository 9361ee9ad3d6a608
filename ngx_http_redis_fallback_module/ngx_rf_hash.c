#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_coll.h"
#include "ngx_rf_local.h"


ngx_rf_local_pt
ngx_rf_hash_handler(ngx_rf_command_e id)
{
    return NULL;
}
