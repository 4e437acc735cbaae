// SPDX-License-Identifier: GPL-2.0
/* Starts and stops queues: all of them, or one for a memory provider. */

#include <linux/dma-mapping.h>
#include <linux/log2.h>
#include <net/netdev_lock.h>
#include <net/netdev_queues.h>
#include <net/netdev_rx_queue.h>

#include "compat.h"
#include "softnic.h"

static void sn_qmem_free(struct sn_qmem *mem)
{
	/* A queue whose start failed twice has none. */
	if (!mem->pp)
		return;
	sn_rx_drop_kept(mem, false);
	while (mem->nr) {
		page_pool_put_full_netmem(mem->pp, mem->posted[mem->head],
					  false);
		mem->head = (mem->head + 1) % mem->size;
		mem->nr--;
	}
	page_pool_destroy(mem->pp);
	kvfree(mem->posted);
	memset(mem, 0, sizeof(*mem));
}

static bool sn_bound(struct net_device *dev, int idx)
{
	return __netif_get_rx_queue(dev, idx)->mp_params.mp_ops;
}

static int sn_qmem_alloc(struct net_device *dev, struct sn_qmem *mem, int idx,
			 unsigned int page_size)
{
	struct sn_priv *priv = netdev_priv(dev);
	struct page_pool_params params = {
		.flags = PP_FLAG_DMA_MAP | PP_FLAG_DMA_SYNC_DEV |
			 PP_FLAG_ALLOW_UNREADABLE_NETMEM,
		.order = get_order(page_size),
		.pool_size = priv->port->ring,
		.nid = NUMA_NO_NODE,
		.dev = sn_dma_dev(),
		.dma_dir = DMA_FROM_DEVICE,
		.max_len = page_size,
		.netdev = dev,
		.queue_idx = idx,
	};
	struct sn_queue *q = priv->rxq[idx].q;
	struct page_pool *pp;

	if (sn_fault(&q->fail_alloc) ||
	    (sn_bound(dev, idx) && sn_fault(&q->fail_bound_alloc)))
		return -ENOMEM;
	memset(mem, 0, sizeof(*mem));
	mem->buf_size = page_size;
	mem->size = min(READ_ONCE(priv->port->prefill), priv->port->ring);
	if (mem->size) {
		mem->posted = kvcalloc(mem->size, sizeof(*mem->posted),
				       GFP_KERNEL);
		if (!mem->posted)
			return -ENOMEM;
	}
	pp = page_pool_create(&params);
	if (IS_ERR(pp)) {
		kvfree(mem->posted);
		memset(mem, 0, sizeof(*mem));
		return PTR_ERR(pp);
	}
	mem->pp = pp;
	return 0;
}

static void sn_rxq_start(struct sn_rxq *rxq)
{
	/*
	 * Not sooner: a page pool that is never used is destroyed while the
	 * NAPI of the queue runs.
	 */
	page_pool_enable_direct_recycling(rxq->mem.pp, &rxq->napi);
	sn_rx_fill(rxq);
	napi_enable_locked(&rxq->napi);
	rxq->napi_enabled = true;
	sn_wire_start(rxq->q);
}

/* Also of a queue that a failed start has left stopped. */
static void sn_rxq_stop(struct sn_rxq *rxq)
{
	if (!rxq->napi_enabled)
		return;
	napi_disable_locked(&rxq->napi);
	rxq->napi_enabled = false;
	page_pool_disable_direct_recycling(rxq->mem.pp);
}

/* Without the queue API the kernel does not take the lock of the interface. */
static void sn_lock_netdev(struct net_device *dev)
{
	if (!netdev_need_ops_lock(dev))
		netdev_lock(dev);
}

static void sn_unlock_netdev(struct net_device *dev)
{
	if (!netdev_need_ops_lock(dev))
		netdev_unlock(dev);
}

int sn_open(struct net_device *dev)
{
	struct sn_priv *priv = netdev_priv(dev);
	unsigned int i;
	int err;

	sn_lock_netdev(dev);
	for (i = 0; i < dev->real_num_rx_queues; i++) {
		struct sn_rxq *rxq = &priv->rxq[i];

		netif_napi_add_config_locked(dev, &rxq->napi, sn_poll, i);
		err = sn_qmem_alloc(dev, &rxq->mem, i,
				    sn_queue_page_size(dev, i));
		if (err) {
			netif_napi_del_locked(&rxq->napi);
			goto undo;
		}
	}
	for (i = 0; i < dev->real_num_rx_queues; i++) {
		struct sn_rxq *rxq = &priv->rxq[i];

		netif_queue_set_napi(dev, i, NETDEV_QUEUE_TYPE_RX, &rxq->napi);
		sn_rxq_start(rxq);
	}
	netif_tx_start_all_queues(dev);
	sn_unlock_netdev(dev);
	return 0;
undo:
	while (i--) {
		sn_qmem_free(&priv->rxq[i].mem);
		netif_napi_del_locked(&priv->rxq[i].napi);
	}
	sn_unlock_netdev(dev);
	return err;
}

int sn_stop(struct net_device *dev)
{
	struct sn_priv *priv = netdev_priv(dev);
	unsigned int i;

	sn_lock_netdev(dev);
	netif_tx_disable(dev);
	for (i = 0; i < dev->real_num_rx_queues; i++) {
		struct sn_rxq *rxq = &priv->rxq[i];

		netif_queue_set_napi(dev, i, NETDEV_QUEUE_TYPE_RX, NULL);
		sn_wire_stop(rxq->q);
		sn_rxq_stop(rxq);
		sn_qmem_free(&rxq->mem);
		netif_napi_del_locked(&rxq->napi);
	}
	sn_unlock_netdev(dev);
	return 0;
}

static int sn_queue_mem_alloc(struct net_device *dev, SN_QCFG_ARG void *mem,
			      int idx)
{
	struct sn_priv *priv = netdev_priv(dev);

	if (!sn_bound(dev, idx) &&
	    sn_fault(&priv->rxq[idx].q->fail_unbound_alloc))
		return -ENOMEM;
	return sn_qmem_alloc(dev, mem, idx, SN_QCFG_PAGE_SIZE);
}

static void sn_queue_mem_free(struct net_device *dev, void *mem)
{
	sn_qmem_free(mem);
}

static int sn_queue_start(struct net_device *dev, SN_QCFG_ARG void *mem,
			  int idx)
{
	struct sn_priv *priv = netdev_priv(dev);
	struct sn_rxq *rxq = &priv->rxq[idx];

	/* The memory stays the caller's. */
	if (sn_fault(&rxq->q->fail_start)) {
		/* Nothing says that the queue will be started again. */
		sn_wire_stop(rxq->q);
		return -EIO;
	}
	rxq->mem = *(struct sn_qmem *)mem;
	memset(mem, 0, sizeof(rxq->mem));
	sn_rxq_start(rxq);
	sn_wire_kick(rxq->q);
	return 0;
}

static int sn_queue_stop(struct net_device *dev, void *mem, int idx)
{
	struct sn_priv *priv = netdev_priv(dev);
	struct sn_rxq *rxq = &priv->rxq[idx];

	if (sn_fault(&rxq->q->fail_stop))
		return -EIO;
	sn_wire_pause(rxq->q);
	sn_rxq_stop(rxq);
	*(struct sn_qmem *)mem = rxq->mem;
	memset(&rxq->mem, 0, sizeof(rxq->mem));
	return 0;
}

#ifdef SN_HAVE_QUEUE_CONFIG
static void sn_default_qcfg(struct net_device *dev,
			    struct netdev_queue_config *qcfg)
{
	qcfg->rx_page_size = PAGE_SIZE;
}

static int sn_validate_qcfg(struct net_device *dev,
			    struct netdev_queue_config *qcfg,
			    struct netlink_ext_ack *extack)
{
	if (!is_power_of_2(qcfg->rx_page_size) ||
	    qcfg->rx_page_size < PAGE_SIZE ||
	    qcfg->rx_page_size > PAGE_SIZE << MAX_PAGE_ORDER)
		return -EINVAL;
	return 0;
}
#endif

/* The DMA device of a queue is the parent of the interface. */
const struct netdev_queue_mgmt_ops sn_queue_mgmt_ops = {
	.ndo_queue_mem_size	= sizeof(struct sn_qmem),
	.ndo_queue_mem_alloc	= sn_queue_mem_alloc,
	.ndo_queue_mem_free	= sn_queue_mem_free,
	.ndo_queue_start	= sn_queue_start,
	.ndo_queue_stop		= sn_queue_stop,
#ifdef SN_HAVE_QUEUE_CONFIG
	.ndo_default_qcfg	= sn_default_qcfg,
	.ndo_validate_qcfg	= sn_validate_qcfg,
	.supported_params	= QCFG_RX_PAGE_SIZE,
#endif
};
