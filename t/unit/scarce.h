/*
 * Memory that runs out: within the unit tests' library each malloc(), calloc(),
 * realloc() and ngx_*alloc() of the engine, and each pool and slab, comes by
 * here (ld's --wrap, t/unit/config).
 *
 *     scarce_begin(7);         the seventh from here on fails; 0: none
 *     rc = ...;
 *     if (scarce_end() ...)    1: it did
 */

#ifndef _SCARCE_H_INCLUDED_
#define _SCARCE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* all that follow fail, too */
#define SCARCE_ON       0x80000000


void scarce_begin(ngx_uint_t n);
ngx_uint_t scarce_end(void);


#endif /* _SCARCE_H_INCLUDED_ */
