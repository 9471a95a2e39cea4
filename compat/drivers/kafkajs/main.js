// Driver for KafkaJS; the vocabulary is described in compat/README.md.
'use strict'

const { randomUUID } = require('crypto')
const readline = require('readline')
const { CompressionCodecs, CompressionTypes, Kafka, Partitioners, logLevel } = require('kafkajs')
const snappy = require('kafkajs-snappy')
const { version } = require('kafkajs/package.json')

CompressionCodecs[CompressionTypes.Snappy] = snappy
const CODECS = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy }
const NATIVE = "KafkaJS has this codec only from packages that build native code"
const CANNOT = {
  'codec-lz4': NATIVE,
  'codec-zstd': NATIVE,
  'header-order': 'KafkaJS keeps headers of one name together',
  'null-header': "KafkaJS takes no null as a header's value",
}
const DESCRIBE_GROUPS = 15
const WANTS = { commit: [DESCRIBE_GROUPS, 0, 'KafkaJS describes a group before it sets its offsets'] }
// A send is one batch for each partition: so many records stay below the largest that brokers take.
const BATCH_RECORDS = 500
const CHECK_MS = 20

let kafka
let bootstrap
let deadline = 0
const producers = new Map()
const members = new Map()

const left = () => Math.max(100, deadline - Date.now())
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const bytes = (text) => (text === null ? null : Buffer.from(text, 'base64'))
const text = (data) => (data === null || data === undefined ? null : Buffer.from(data).toString('base64'))
const orNull = (offset) => (Number(offset) < 0 ? null : Number(offset))

async function until(isTrue, what) {
  while (!isTrue()) {
    if (Date.now() > deadline) throw new Error(what())
    await sleep(CHECK_MS)
  }
}

async function withAdmin(call) {
  const admin = kafka.admin()
  await admin.connect()
  try {
    return await call(admin)
  } finally {
    await admin.disconnect()
  }
}

function outgoing(record) {
  const headers = {}
  for (const [name, data] of record.headers) {
    const value = bytes(data)
    headers[name] = name in headers ? [headers[name], value].flat() : value
  }
  const message = { key: bytes(record.key), value: bytes(record.value), headers }
  if (record.partition !== null) message.partition = record.partition
  if (record.timestamp !== null) message.timestamp = String(record.timestamp)
  return message
}

function incoming(partition, message) {
  const headers = Object.entries(message.headers || {}).flatMap(([name, data]) =>
    [data].flat().map((value) => [name, text(value)])
  )
  return {
    partition,
    offset: Number(message.offset),
    timestamp: Number(message.timestamp),
    key: text(message.key),
    value: text(message.value),
    headers,
  }
}

async function openProducer(idempotent) {
  const producer = kafka.producer({
    idempotent,
    maxInFlightRequests: 1,
    allowAutoTopicCreation: true,
    createPartitioner: Partitioners.DefaultPartitioner,
  })
  await producer.connect()
  return producer
}

function openConsumer(groupId) {
  return kafka.consumer({
    groupId,
    sessionTimeout: 6000,
    heartbeatInterval: 300,
    metadataMaxAge: 2000,
    maxWaitTimeInMs: 200,
    allowAutoTopicCreation: false,
  })
}

// A consumer that keeps what it reads until it is closed; `options` are those of its run.
class Reader {
  constructor(groupId, topic, options) {
    this.records = []
    this.assignment = []
    this.problem = null
    this.topic = topic
    this.options = options
    this.isWanted = () => true
    this.consumer = openConsumer(groupId)
    this.consumer.on(this.consumer.events.GROUP_JOIN, ({ payload }) => {
      this.assignment = payload.memberAssignment[topic] || []
    })
    this.consumer.on(this.consumer.events.REBALANCING, () => {
      this.assignment = []
    })
    this.consumer.on(this.consumer.events.CRASH, ({ payload }) => {
      if (!payload.restart) this.problem = String(payload.error)
    })
  }

  async open() {
    await this.consumer.connect()
    await this.consumer.subscribe({ topic: this.topic, fromBeginning: true })
    await this.consumer.run({
      ...this.options,
      eachMessage: async ({ partition, message }) => {
        const record = incoming(partition, message)
        if (this.isWanted(record)) this.records.push(record)
      },
    })
  }

  // From now on one partition alone, from this offset on. What was fetched before the seek may still come.
  seek(partition, offset) {
    let next = offset
    this.isWanted = (record) => {
      if (record.partition !== partition || record.offset < next) return false
      next = record.offset + 1
      return true
    }
    this.records = []
    this.consumer.seek({ topic: this.topic, partition, offset: String(offset) })
  }

  async collect(count) {
    await until(
      () => this.records.length >= count || this.problem,
      () => `${this.records.length} of ${count} records arrived`
    )
    if (this.problem) throw new Error(this.problem)
    return this.records.slice(0, count)
  }

  seen() {
    const found = { assignment: [...this.assignment].sort(), records: this.records, error: this.problem }
    this.records = []
    return found
  }

  close() {
    return this.consumer.disconnect()
  }
}

async function startOffset(topic, partition, start) {
  if (start.offset !== undefined) return start.offset
  const found = await withAdmin((admin) =>
    start === 'beginning' ? admin.fetchTopicOffsets(topic) : admin.fetchTopicOffsetsByTimestamp(topic, start.time)
  )
  const { low, offset } = found.find((one) => one.partition === partition)
  return Number(start === 'beginning' ? low : offset)
}

async function committed({ group, topic, partition }) {
  const [found] = await withAdmin((admin) => admin.fetchOffsets({ groupId: group, topics: [topic] }))
  return { offset: orNull(found.partitions.find((one) => one.partition === partition).offset) }
}

const commands = {
  async hello({ bootstrap: address }) {
    bootstrap = address
    // The first retries come soon: a topic made a moment ago, a broker that was killed.
    const retry = { initialRetryTime: 50, maxRetryTime: 500, retries: 1000 }
    kafka = new Kafka({ clientId: 'compat', brokers: [bootstrap], logLevel: logLevel.NOTHING, retry })
    return { version, runtime: `Node.js ${process.version}`, cannot: CANNOT, wants: WANTS }
  },

  async create_topic({ topic, partitions }) {
    const topics = [{ topic, numPartitions: partitions, replicationFactor: 1 }]
    await withAdmin((admin) => admin.createTopics({ topics, waitForLeaders: true }))
    return {}
  },

  async delete_topic({ topic }) {
    await withAdmin((admin) => admin.deleteTopics({ topics: [topic] }))
    return {}
  },

  async list_topics() {
    return { topics: await withAdmin((admin) => admin.listTopics()) }
  },

  async describe_topic({ topic }) {
    const found = await withAdmin((admin) => admin.fetchTopicMetadata({ topics: [topic] }))
    return { partitions: found.topics[0].partitions.length }
  },

  async produce({ topic, records, codec, acks, idempotent, producer: name, pace_ms: pace = 0 }) {
    const producer = producers.get(name) || (await openProducer(idempotent))
    if (name) producers.set(name, producer)
    const offsets = []
    const step = pace ? 1 : BATCH_RECORDS
    for (let at = 0; at < records.length; at += step) {
      const part = records.slice(at, at + step)
      const told = await producer.send({
        topic,
        messages: part.map(outgoing),
        acks: acks === 'all' ? -1 : acks,
        compression: CODECS[codec],
      })
      const next = new Map((acks === 0 ? [] : told).map((one) => [one.partition, Number(one.baseOffset)]))
      for (const { partition } of part) {
        const offset = next.get(partition)
        offsets.push(offset === undefined ? null : offset)
        next.set(partition, offset + 1)
      }
      await sleep(pace)
    }
    if (!name) await producer.disconnect()
    return { offsets }
  },

  async close_producer({ producer }) {
    await producers.get(producer).disconnect()
    producers.delete(producer)
    return {}
  },

  async consume({ topic, partition, start, count }) {
    // Without a group KafkaJS reads nothing: a fresh one.
    const reader = new Reader(`compat-${randomUUID()}`, topic, { autoCommit: false })
    try {
      const offset = await startOffset(topic, partition, start)
      await reader.open()
      reader.seek(partition, offset)
      return { records: await reader.collect(count) }
    } finally {
      await reader.close()
    }
  },

  async watermarks({ topic, partition }) {
    const found = await withAdmin((admin) => admin.fetchTopicOffsets(topic))
    const { low, high } = found.find((one) => one.partition === partition)
    return { beginning: Number(low), end: Number(high) }
  },

  async commit({ group, topic, partition, offset }) {
    const partitions = [{ partition, offset: String(offset) }]
    await withAdmin((admin) => admin.setOffsets({ groupId: group, topic, partitions }))
    return {}
  },

  committed,
  admin_committed: committed,

  async group_read({ group, topic, count }) {
    const reader = new Reader(group, topic, { autoCommit: false })
    try {
      await reader.open()
      const records = await reader.collect(count)
      const ends = new Map(records.map((one) => [one.partition, one.offset + 1]))
      const offsets = [...ends].map(([partition, offset]) => ({ topic, partition, offset: String(offset) }))
      await reader.consumer.commitOffsets(offsets)
      return { records }
    } finally {
      await reader.close()
    }
  },

  async member_start({ member, group, topic }) {
    const reader = new Reader(group, topic, { autoCommit: true, autoCommitInterval: 500 })
    members.set(member, reader)
    reader.open().catch((problem) => {
      reader.problem = String(problem)
    })
    return {}
  },

  async member_seen({ member }) {
    return members.get(member).seen()
  },

  async member_close({ member }) {
    const reader = members.get(member)
    members.delete(member)
    await reader.close()
    return reader.seen()
  },
}

async function answer({ id, do: command, timeout_s: timeout, ...rest }) {
  deadline = Date.now() + timeout * 1000
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${command} took longer than ${timeout} s`)), left())
  })
  try {
    return { id, ok: await Promise.race([commands[command](rest), late]) }
  } catch (problem) {
    return { id, error: `${problem.name}: ${problem.message}`.split('\n')[0] }
  } finally {
    clearTimeout(timer)
  }
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(JSON.stringify(await answer(JSON.parse(line))) + '\n')
  }
  // Consumers of a broker that is gone may hang; nothing is owed any more.
  process.exit(0)
}

main()
