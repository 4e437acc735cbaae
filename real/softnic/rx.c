// SPDX-License-Identifier: GPL-2.0
/*
 * The receive side: NAPI, the "DMA" of payload into buffers of the page pool,
 * and the ring of buffers that are posted ahead of packets.
 */

#include <linux/dma-mapping.h>
#include <net/busy_poll.h>

#include "softnic.h"

static netmem_ref sn_rx_alloc(struct sn_qmem *mem)
{
	return page_pool_alloc_netmems(mem->pp, GFP_ATOMIC | __GFP_NOWARN);
}

/* Posts buffers, if the queue was started with prefill. */
void sn_rx_fill(struct sn_rxq *rxq)
{
	struct sn_qmem *mem = &rxq->mem;

	while (mem->nr < mem->size) {
		netmem_ref buf = sn_rx_alloc(mem);

		if (!buf)
			break;
		mem->posted[(mem->head + mem->nr++) % mem->size] = buf;
	}
}

/* A buffer for payload, or 0. */
static netmem_ref sn_rx_take(struct sn_qmem *mem)
{
	netmem_ref buf;

	if (!mem->size)
		return sn_rx_alloc(mem);
	if (!mem->nr)
		return 0;
	buf = mem->posted[mem->head];
	mem->head = (mem->head + 1) % mem->size;
	mem->nr--;
	return buf;
}

/* Gives back the reference that the NIC keeps on the last buffer. */
void sn_rx_drop_kept(struct sn_qmem *mem, bool in_napi)
{
	if (mem->kept)
		page_pool_put_full_netmem(mem->pp, mem->kept, in_napi);
	mem->kept = 0;
}

/* Reports and counts a write that an IOMMU would have refused. */
static void sn_rx_dma_fault(struct sn_rxq *rxq)
{
	struct sn_queue *q = rxq->q;

	spin_lock_bh(&q->lock);
	q->counters[SN_DMA_FAULTS]++;
	spin_unlock_bh(&q->lock);
	netdev_err(rxq->napi.dev,
		   "DMA fault: queue %u writes to a buffer that is not mapped\n",
		   q->idx);
}

/*
 * Writes a piece of a frame into a buffer and adds it to @skb, which takes over
 * a reference on the buffer. dma-direct is what main.c has made sure of, so the
 * physical address is the DMA address. A memory provider that unmaps a buffer
 * sets its address to 0, where no buffer can be; nothing is written there.
 */
static void sn_rx_write(struct sn_rxq *rxq, struct sk_buff *skb,
			struct sk_buff *in, unsigned int from, netmem_ref buf,
			unsigned int to, unsigned int len)
{
	dma_addr_t dma = page_pool_get_dma_addr_netmem(buf);
	u8 *at = phys_to_virt((phys_addr_t)dma) + to;
	struct sn_qmem *mem = &rxq->mem;

	if (!dma) {
		sn_rx_dma_fault(rxq);
	} else {
		/* All frags are readable and the range is in the frame. */
		WARN_ON_ONCE(skb_copy_bits(in, from, at, len));
		if (sn_cb(in)->corrupt && from == sn_cb(in)->header)
			at[0] ^= 0xff;
	}
	page_pool_dma_sync_netmem_for_cpu(mem->pp, buf, to, len);
	skb_add_rx_frag_netmem(skb, skb_shinfo(skb)->nr_frags, buf, to, len,
			       mem->buf_size);
}

/* Writes the payload behind that of the last frame, if that may be. */
static bool sn_rx_share(struct sn_rxq *rxq, struct sk_buff *skb,
			struct sk_buff *in)
{
	unsigned int len = sn_payload(in);
	struct sn_qmem *mem = &rxq->mem;

	if (!mem->kept || !sn_fault(&rxq->q->share_next))
		return false;
	if (len > mem->buf_size - mem->kept_used)
		return false;
	page_pool_ref_netmem(mem->kept);
	sn_rx_write(rxq, skb, in, sn_cb(in)->header, mem->kept, mem->kept_used,
		    len);
	mem->kept_used += len;
	return true;
}

/*
 * Bytes of payload that go into the next buffer: an equal part of the @left
 * bytes for each of @frags buffers, or as much as fits.
 */
static unsigned int sn_rx_piece(struct sn_rxq *rxq, unsigned int left,
				unsigned int frags)
{
	unsigned int piece = READ_ONCE(rxq->q->port->frag_size);

	if (frags)
		piece = DIV_ROUND_UP(left, frags);
	return min3(piece, left, rxq->mem.buf_size);
}

/* Places the payload of @in into buffers of the page pool. */
static bool sn_rx_place(struct sn_rxq *rxq, struct sk_buff *skb,
			struct sk_buff *in)
{
	unsigned int at = sn_cb(in)->header, end = sn_cb(in)->len, len, frags;
	struct sn_qmem *mem = &rxq->mem;
	netmem_ref buf = 0;

	if (sn_rx_share(rxq, skb, in))
		return true;
	frags = max(atomic_xchg(&rxq->q->frags_next, 0), 0);
	for (; at < end; at += len) {
		len = sn_rx_piece(rxq, end - at, frags);
		if (frags)
			frags--;
		buf = 0;
		if (skb_shinfo(skb)->nr_frags < MAX_SKB_FRAGS)
			buf = sn_rx_take(mem);
		if (!buf)
			return false;
		sn_rx_write(rxq, skb, in, at, buf, 0, len);
	}
	sn_rx_drop_kept(mem, true);
	if (READ_ONCE(rxq->q->keep_last) ||
	    atomic_read(&rxq->q->share_next) > 0) {
		page_pool_ref_netmem(buf);
		mem->kept = buf;
		mem->kept_used = len;
	}
	return true;
}

/* Counts a frame whose processing is over. */
static void sn_rx_count(struct sn_queue *q, enum sn_counter counter,
			unsigned int placed)
{
	spin_lock_bh(&q->lock);
	q->counters[counter]++;
	q->counters[SN_PLACED_BYTES] += placed;
	q->counters[SN_RECEIVED]++;
	spin_unlock_bh(&q->lock);
}

static void sn_rx_one(struct sn_priv *priv, struct sn_rxq *rxq,
		      struct sk_buff *in)
{
	unsigned int len = sn_cb(in)->len, payload = sn_payload(in);
	unsigned int header = len, placed = 0;
	struct net_device *dev = priv->dev;
	enum sn_counter counter;
	struct sk_buff *skb;

	if (payload && READ_ONCE(priv->header_split))
		header = sn_cb(in)->header;
	skb = napi_alloc_skb(&rxq->napi, header);
	if (!skb)
		goto no_buffer;
	/* Also before it is freed: its buffers go back to the page pool. */
	skb_mark_for_recycle(skb);
	WARN_ON_ONCE(skb_copy_bits(in, 0, skb_put(skb, header), header));
	if (header == len && sn_cb(in)->corrupt)
		skb->data[sn_cb(in)->header] ^= 0xff;
	counter = SN_KERNEL_PACKETS;
	if (header < len) {
		if (!sn_rx_place(rxq, skb, in))
			goto no_buffer_skb;
		if (skb_frag_is_net_iov(&skb_shinfo(skb)->frags[0])) {
			counter = SN_PLACED_PACKETS;
			placed = payload;
		}
	} else if (sn_cb(in)->header && !payload) {
		counter = SN_HEADER_ONLY_PACKETS;
	}
	skb->ip_summed = CHECKSUM_UNNECESSARY;
	skb->protocol = eth_type_trans(skb, dev);
	skb_record_rx_queue(skb, rxq->q->idx);
	skb_mark_napi_id(skb, &rxq->napi);
	dev_sw_netstats_rx_add(dev, len);
	/* No GRO: one frame is one skb. */
	netif_receive_skb(skb);
	sn_rx_count(rxq->q, counter, placed);
	consume_skb(in);
	return;
no_buffer_skb:
	kfree_skb(skb);
no_buffer:
	dev_core_stats_rx_dropped_inc(dev);
	sn_rx_count(rxq->q, SN_DROPPED_NO_BUFFER, 0);
	kfree_skb(in);
}

static struct sk_buff *sn_rx_next(struct sn_queue *q)
{
	struct sk_buff *skb;

	spin_lock_bh(&q->lock);
	skb = __skb_dequeue(&q->in);
	spin_unlock_bh(&q->lock);
	return skb;
}

int sn_poll(struct napi_struct *napi, int budget)
{
	struct sn_rxq *rxq = container_of(napi, struct sn_rxq, napi);
	struct sn_priv *priv = netdev_priv(napi->dev);
	struct sk_buff *in;
	int done = 0;

	/* netpoll only wants sent frames to be freed. */
	if (!budget)
		return 0;
	if (!READ_ONCE(rxq->q->keep_last) &&
	    atomic_read(&rxq->q->share_next) <= 0)
		sn_rx_drop_kept(&rxq->mem, true);
	/* A driver tries again when it found no buffers the last time. */
	sn_rx_fill(rxq);
	while (done < budget && (in = sn_rx_next(rxq->q))) {
		sn_rx_one(priv, rxq, in);
		sn_rx_fill(rxq);
		done++;
	}
	if (done < budget)
		napi_complete_done(napi, done);
	return done;
}
