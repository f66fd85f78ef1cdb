/* What every incremental parser of this folder answers. They look at bytes and do nothing else. */
#ifndef DISTGUARD_WIRE_PARSE_H
#define DISTGUARD_WIRE_PARSE_H

enum dg_parse {
    DG_PARSE_MORE,  /* all bytes so far fit; more are needed to tell */
    DG_PARSE_DONE,  /* it is the message, and it is whole */
    DG_PARSE_OTHER, /* it cannot be the message, whatever follows */
};

#endif
