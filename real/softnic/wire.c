// SPDX-License-Identifier: GPL-2.0
/*
 * From ndo_start_xmit of one interface to the receive queue of the other: the
 * link, on which frames are held, dropped, changed and reordered.
 */

#include <net/dst.h>

#include "softnic.h"

/* The caller holds q->lock. The frame's processing is over. */
static void sn_drop(struct sn_queue *q, struct sk_buff *skb,
		    enum sn_counter counter)
{
	q->counters[counter]++;
	q->counters[SN_RECEIVED]++;
	dev_kfree_skb_any(skb);
}

/* The caller holds q->lock. The frame has arrived at the interface. */
static void sn_arrive(struct sn_queue *q, struct sk_buff *skb)
{
	if (!q->running && !q->paused)
		sn_drop(q, skb, SN_DROPPED_DOWN);
	else if (skb_queue_len(&q->in) >= q->port->ring)
		sn_drop(q, skb, SN_DROPPED_NO_BUFFER);
	else
		__skb_queue_tail(&q->in, skb);
}

/* The caller holds q->lock. */
static void sn_arrive_reversed(struct sn_queue *q)
{
	struct sk_buff *skb;

	while ((skb = __skb_dequeue_tail(&q->reversed)))
		sn_arrive(q, skb);
}

/* The caller holds q->lock. The frame passes the faults of the link. */
static void sn_pass(struct sn_queue *q, struct sk_buff *skb)
{
	if (sn_fault(&q->drop_next)) {
		sn_drop(q, skb, SN_DROPPED_FAULT);
		return;
	}
	if (sn_payload(skb) && sn_fault(&q->corrupt_next))
		sn_cb(skb)->corrupt = true;
	if (!q->reverse_next) {
		sn_arrive(q, skb);
		return;
	}
	__skb_queue_tail(&q->reversed, skb);
	if (!--q->reverse_next)
		sn_arrive_reversed(q);
}

/*
 * Schedules NAPI of a queue in which a frame is. Where softirqs may run, NAPI
 * has run when this returns.
 */
void sn_wire_kick(struct sn_queue *q)
{
	struct net_device *dev;
	struct sn_priv *priv;
	bool running;

	rcu_read_lock();
	dev = rcu_dereference(q->port->dev);
	/* A queue that never ran has no NAPI yet; a stopped one ignores this. */
	spin_lock_bh(&q->lock);
	running = q->running;
	spin_unlock_bh(&q->lock);
	if (dev && running) {
		priv = netdev_priv(dev);
		local_bh_disable();
		napi_schedule(&priv->rxq[q->idx].napi);
		local_bh_enable();
	}
	rcu_read_unlock();
}

netdev_tx_t sn_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct sn_priv *priv = netdev_priv(dev);
	unsigned int len = skb->len;
	struct sn_port *to;
	struct sn_queue *q;

	to = &sn_ports[!priv->port->nr];
	if (len < ETH_HLEN || skb_orphan_frags(skb, GFP_ATOMIC)) {
		dev_core_stats_tx_dropped_inc(dev);
		dev_kfree_skb_any(skb);
		return NETDEV_TX_OK;
	}
	skb_tx_timestamp(skb);
	/* A held frame must not keep its sender waiting. */
	skb_orphan(skb);
	skb_dst_drop(skb);
	nf_reset_ct(skb);
	sn_parse(skb);
	q = &to->queue[sn_flow_steer(to, skb)];
	spin_lock_bh(&q->lock);
	if (q->hold)
		__skb_queue_tail(&q->held, skb);
	else
		sn_pass(q, skb);
	spin_unlock_bh(&q->lock);
	sn_wire_kick(q);
	dev_sw_netstats_tx_add(dev, 1, len);
	return NETDEV_TX_OK;
}

/* Without @hold the kept frames go on, in their order. */
void sn_wire_set_hold(struct sn_queue *q, bool hold)
{
	struct sk_buff *skb;

	spin_lock_bh(&q->lock);
	q->hold = hold;
	while (!hold && (skb = __skb_dequeue(&q->held)))
		sn_pass(q, skb);
	spin_unlock_bh(&q->lock);
	sn_wire_kick(q);
}

/* Frames that an earlier call collects go on first, reversed. */
void sn_wire_set_reverse(struct sn_queue *q, unsigned int count)
{
	spin_lock_bh(&q->lock);
	sn_arrive_reversed(q);
	q->reverse_next = count;
	spin_unlock_bh(&q->lock);
	sn_wire_kick(q);
}

/* From now on frames arrive. NAPI is enabled. */
void sn_wire_start(struct sn_queue *q)
{
	spin_lock_bh(&q->lock);
	q->running = true;
	q->paused = false;
	spin_unlock_bh(&q->lock);
}

/*
 * From now on frames wait, as on a link with flow control: the queue is started
 * again soon.
 */
void sn_wire_pause(struct sn_queue *q)
{
	spin_lock_bh(&q->lock);
	q->running = false;
	q->paused = true;
	spin_unlock_bh(&q->lock);
}

/* From now on frames are dropped, and those not yet received, too. */
void sn_wire_stop(struct sn_queue *q)
{
	struct sk_buff *skb;

	spin_lock_bh(&q->lock);
	q->running = false;
	q->paused = false;
	while ((skb = __skb_dequeue(&q->in)))
		sn_drop(q, skb, SN_DROPPED_DOWN);
	spin_unlock_bh(&q->lock);
}

/* Frees what is kept on the link, and keeps nothing more. */
void sn_wire_reset(struct sn_queue *q)
{
	spin_lock_bh(&q->lock);
	q->hold = false;
	q->reverse_next = 0;
	__skb_queue_purge(&q->held);
	__skb_queue_purge(&q->reversed);
	spin_unlock_bh(&q->lock);
}
