/* SPDX-License-Identifier: GPL-2.0 */
/*
 * softnic: a linked pair of network interfaces in software, whose receive
 * queues take their buffers from a memory provider.
 *
 * A port is one end of the link and lives as long as the module. Its interface
 * can be unregistered and registered again; counters, faults and flow rules
 * belong to the port and stay.
 */
#ifndef SOFTNIC_H
#define SOFTNIC_H

#include <linux/atomic.h>
#include <linux/debugfs.h>
#include <linux/device.h>
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/mutex.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <linux/spinlock.h>
#include <net/page_pool/helpers.h>

#define SN_NAME		"softnic"
#define SN_PORTS	2
#define SN_MAX_QUEUES	16
#define SN_MAX_RING	1024
#define SN_MAX_RULES	64

/* The counters of a queue; sn_counter_names has their names. */
enum sn_counter {
	SN_PLACED_PACKETS,
	SN_PLACED_BYTES,
	SN_KERNEL_PACKETS,
	SN_HEADER_ONLY_PACKETS,
	SN_DROPPED_NO_BUFFER,
	SN_DROPPED_FAULT,
	SN_DROPPED_DOWN,
	SN_RECEIVED,
	SN_DMA_FAULTS,
	SN_COUNTERS
};

extern const char * const sn_counter_names[SN_COUNTERS];

/* One receive queue of a port. */
struct sn_queue {
	struct sn_port		*port;
	unsigned int		idx;
	/* Protects all up to the faults. */
	spinlock_t		lock;
	bool			running;
	bool			paused;		/* frames wait for the start */
	bool			hold;
	unsigned int		reverse_next;
	struct sk_buff_head	in;		/* for NAPI to receive */
	struct sk_buff_head	held;		/* kept by the fault hold */
	struct sk_buff_head	reversed;	/* collected by reverse_next */
	u64			counters[SN_COUNTERS];
	/* Faults: how many of the next events they change. */
	atomic_t		drop_next;
	atomic_t		corrupt_next;
	atomic_t		frags_next;
	atomic_t		share_next;
	atomic_t		fail_alloc;
	atomic_t		fail_bound_alloc;
	atomic_t		fail_unbound_alloc;
	atomic_t		fail_start;
	atomic_t		fail_stop;
	bool			keep_last;
};

/* A flow rule: TCP segments of one family to a port go to a queue. */
struct sn_rule {
	u32			flow_type;	/* TCP_V4_FLOW, TCP_V6_FLOW; 0: none */
	__be16			dport;
	u16			queue;
};

/* One end of the link. */
struct sn_port {
	unsigned int		nr;
	struct net_device __rcu	*dev;		/* NULL: unregistered */
	u32			prefill;
	u32			frag_size;
	u32			ring;
	spinlock_t		rules_lock;	/* protects rules */
	struct sn_rule		rules[SN_MAX_RULES];
	struct sn_queue		queue[SN_MAX_QUEUES];
};

/* What ndo_queue_mem_alloc makes and ndo_queue_start puts to use. */
struct sn_qmem {
	struct page_pool	*pp;
	unsigned int		buf_size;
	/* The buffers that are posted ahead of packets, a ring. */
	netmem_ref		*posted;
	unsigned int		size;
	unsigned int		head;
	unsigned int		nr;
	/* The buffer of the last payload, on which the NIC keeps a reference. */
	netmem_ref		kept;
	unsigned int		kept_used;
};

/* One receive queue of a registered interface. */
struct sn_rxq {
	struct napi_struct	napi;
	bool			napi_enabled;
	struct sn_queue		*q;
	struct sn_qmem		mem;
};

struct sn_priv {
	struct net_device	*dev;
	struct sn_port		*port;
	bool			header_split;
	struct sn_rxq		rxq[SN_MAX_QUEUES];
};

/* What is known about a frame on its way from ndo_start_xmit to NAPI. */
struct sn_cb {
	unsigned int		len;		/* without padding */
	unsigned int		header;		/* of TCP; 0: another protocol */
	u32			flow_type;
	__be16			dport;
	bool			corrupt;
};

static inline struct sn_cb *sn_cb(struct sk_buff *skb)
{
	BUILD_BUG_ON(sizeof(struct sn_cb) > sizeof(skb->cb));
	return (struct sn_cb *)skb->cb;
}

/* Bytes of TCP payload. */
static inline unsigned int sn_payload(struct sk_buff *skb)
{
	return sn_cb(skb)->header ? sn_cb(skb)->len - sn_cb(skb)->header : 0;
}

/* Whether a fault applies now; it then has one time less to go. */
static inline bool sn_fault(atomic_t *times)
{
	return atomic_dec_if_positive(times) >= 0;
}

/* main.c */
extern unsigned int sn_queues;
extern struct sn_port sn_ports[SN_PORTS];
extern struct mutex sn_lock;	/* registering and unregistering */
int sn_register(struct sn_port *port);
void sn_unregister(struct sn_port *port);
struct device *sn_dma_dev(void);

/* parse.c */
void sn_parse(struct sk_buff *skb);

/* flow.c */
unsigned int sn_flow_steer(struct sn_port *port, struct sk_buff *skb);
int sn_flow_get(struct net_device *dev, struct ethtool_rxnfc *info, u32 *locs);
void sn_flow_clear(struct sn_port *port);
int sn_flow_set(struct net_device *dev, struct ethtool_rxnfc *info);

/* wire.c */
netdev_tx_t sn_xmit(struct sk_buff *skb, struct net_device *dev);
void sn_wire_kick(struct sn_queue *q);
void sn_wire_set_hold(struct sn_queue *q, bool hold);
void sn_wire_set_reverse(struct sn_queue *q, unsigned int count);
void sn_wire_start(struct sn_queue *q);
void sn_wire_stop(struct sn_queue *q);
void sn_wire_pause(struct sn_queue *q);
void sn_wire_reset(struct sn_queue *q);

/* rx.c */
int sn_poll(struct napi_struct *napi, int budget);
void sn_rx_fill(struct sn_rxq *rxq);
void sn_rx_drop_kept(struct sn_qmem *mem, bool in_napi);

/* queue_mgmt.c */
extern const struct netdev_queue_mgmt_ops sn_queue_mgmt_ops;
int sn_open(struct net_device *dev);
int sn_stop(struct net_device *dev);

/* ethtool.c */
extern const struct ethtool_ops sn_ethtool_ops;

/* debugfs.c */
void sn_debugfs_create(void);
void sn_debugfs_remove(void);

#endif
