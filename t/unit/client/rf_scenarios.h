/*
 * The rows of steps, and what they share.
 */

#ifndef _RF_SCENARIOS_H_INCLUDED_
#define _RF_SCENARIOS_H_INCLUDED_


#include "rf_client.h"


/* n distinct commands in one turn, and how many got their own replies */
void rf_submit_numbers(ngx_uint_t n);
ngx_uint_t rf_right_numbers(void);

/* sets and gets a value of so many bytes, in one call */
void rf_set_blob(size_t len);
void rf_free_blob(void);

ngx_msec_t rf_step_ping(void);
ngx_msec_t rf_step_pong(void);

/* rf_outage.c */
extern rf_step_pt  rf_row_killed[];
extern rf_step_pt  rf_row_stopped[];
extern rf_step_pt  rf_row_slept[];
extern rf_step_pt  rf_row_refused[];
extern rf_step_pt  rf_row_hole[];
extern rf_step_pt  rf_row_refuse[];
extern rf_step_pt  rf_row_maxclients[];
extern rf_step_pt  rf_row_bogus[];
extern rf_step_pt  rf_row_idle[];
extern rf_step_pt  rf_row_unasked[];
extern rf_step_pt  rf_row_nest[];
extern rf_step_pt  rf_row_restarted[];

/* rf_links.c */
extern rf_step_pt  rf_row_links[];

/* rf_hold.c */
extern rf_step_pt  rf_row_hold[];
extern rf_step_pt  rf_row_hold_links[];
extern rf_step_pt  rf_row_hold_quit[];


#endif /* _RF_SCENARIOS_H_INCLUDED_ */
