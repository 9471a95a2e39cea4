// Driver for franz-go; the vocabulary is described in compat/README.md.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sort"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const clientModule = "github.com/twmb/franz-go"

// lineBytesMax bounds a request line: thousands of records, or a big one, as base64.
const lineBytesMax = 64 << 20

type record struct {
	Partition *int32     `json:"partition"`
	Offset    int64      `json:"offset"`
	Timestamp *int64     `json:"timestamp"`
	Key       *[]byte    `json:"key"`
	Value     *[]byte    `json:"value"`
	Headers   [][2]*blob `json:"headers"`
}

// blob is a header's name (text) or value (base64 or null); which one depends on its place in the pair.
type blob struct{ raw json.RawMessage }

func (b *blob) UnmarshalJSON(raw []byte) error { b.raw = append(b.raw, raw...); return nil }
func (b *blob) MarshalJSON() ([]byte, error)   { return b.raw, nil }

type request struct {
	ID         int64           `json:"id"`
	Do         string          `json:"do"`
	TimeoutS   float64         `json:"timeout_s"`
	Bootstrap  string          `json:"bootstrap"`
	Topic      string          `json:"topic"`
	Partition  int32           `json:"partition"`
	Partitions int32           `json:"partitions"`
	Records    []record        `json:"records"`
	Codec      string          `json:"codec"`
	Acks       any             `json:"acks"`
	Idempotent bool            `json:"idempotent"`
	Producer   string          `json:"producer"`
	PaceMs     int             `json:"pace_ms"`
	Start      json.RawMessage `json:"start"`
	Count      int             `json:"count"`
	Group      string          `json:"group"`
	Offset     int64           `json:"offset"`
	Member     string          `json:"member"`
}

type answer map[string]any

type driver struct {
	bootstrap string
	producers map[string]*kgo.Client
	members   map[string]*member
}

func main() {
	d := &driver{producers: map[string]*kgo.Client{}, members: map[string]*member{}}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<20), lineBytesMax)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked request
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			panic(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(asked.TimeoutS*float64(time.Second)))
		found, err := d.answer(ctx, asked)
		cancel()
		reply := answer{"id": asked.ID, "ok": found}
		if err != nil {
			reply = answer{"id": asked.ID, "error": err.Error()}
		}
		if err := out.Encode(reply); err != nil {
			panic(err)
		}
	}
}

func (d *driver) answer(ctx context.Context, asked request) (answer, error) {
	switch asked.Do {
	case "hello":
		d.bootstrap = asked.Bootstrap
		return answer{"version": clientVersion(), "runtime": runtime.Version(), "cannot": answer{}}, nil
	case "create_topic":
		_, err := d.admin(func(admin *kadm.Client) (any, error) {
			made, err := admin.CreateTopic(ctx, asked.Partitions, 1, nil, asked.Topic)
			return made, firstError(err, made.Err)
		})
		return answer{}, err
	case "delete_topic":
		_, err := d.admin(func(admin *kadm.Client) (any, error) {
			gone, err := admin.DeleteTopic(ctx, asked.Topic)
			return gone, firstError(err, gone.Err)
		})
		return answer{}, err
	case "list_topics":
		names, err := d.admin(func(admin *kadm.Client) (any, error) {
			found, err := admin.ListTopics(ctx)
			return found.Names(), err
		})
		return answer{"topics": names}, err
	case "describe_topic":
		count, err := d.admin(func(admin *kadm.Client) (any, error) {
			found, err := admin.ListTopics(ctx, asked.Topic)
			return len(found[asked.Topic].Partitions), firstError(err, found[asked.Topic].Err)
		})
		return answer{"partitions": count}, err
	case "produce":
		return d.produce(ctx, asked)
	case "close_producer":
		d.producers[asked.Producer].Close()
		delete(d.producers, asked.Producer)
		return answer{}, nil
	case "consume":
		return d.consume(ctx, asked)
	case "watermarks":
		return d.watermarks(ctx, asked)
	case "commit":
		return answer{}, d.commit(ctx, asked)
	case "committed", "admin_committed":
		return d.committed(ctx, asked)
	case "group_read":
		return d.groupRead(ctx, asked)
	case "member_start":
		return d.memberStart(asked)
	case "member_seen":
		return d.members[asked.Member].seen(), nil
	case "member_close":
		return d.memberClose(asked)
	}
	return nil, fmt.Errorf("unknown command %q", asked.Do)
}

func clientVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == clientModule {
				return module.Version
			}
		}
	}
	return "unknown"
}

func (d *driver) open(options ...kgo.Opt) (*kgo.Client, error) {
	// The client spaces metadata requests out by 5 s otherwise, which a topic made a moment ago would wait for.
	options = append(options, kgo.SeedBrokers(d.bootstrap), kgo.MetadataMinAge(200*time.Millisecond),
		kgo.MetadataMaxAge(2*time.Second))
	return kgo.NewClient(options...)
}

func (d *driver) admin(call func(*kadm.Client) (any, error)) (any, error) {
	client, err := d.open()
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return call(kadm.NewClient(client))
}

func (d *driver) openProducer(asked request) (*kgo.Client, error) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	acks := map[string]kgo.Acks{"0": kgo.NoAck(), "1": kgo.LeaderAck(), "all": kgo.AllISRAcks()}
	options := []kgo.Opt{
		kgo.ProducerBatchCompression(codecs[asked.Codec]), kgo.RequiredAcks(acks[fmt.Sprint(asked.Acks)]),
		kgo.ProducerLinger(5 * time.Millisecond), kgo.AllowAutoTopicCreation(),
		kgo.RecordPartitioner(chosenPartitioner{}),
	}
	if !asked.Idempotent {
		options = append(options, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
	}
	return d.open(options...)
}

// chosenPartitioner honours the record's partition; a negative one leaves the choice to the client.
type chosenPartitioner struct{}

func (chosenPartitioner) ForTopic(string) kgo.TopicPartitioner { return chosenTopicPartitioner{} }

type chosenTopicPartitioner struct{}

func (chosenTopicPartitioner) RequiresConsistency(*kgo.Record) bool { return true }
func (chosenTopicPartitioner) Partition(r *kgo.Record, _ int) int   { return int(max(0, r.Partition)) }

func (d *driver) produce(ctx context.Context, asked request) (answer, error) {
	client := d.producers[asked.Producer]
	if client == nil {
		var err error
		if client, err = d.openProducer(asked); err != nil {
			return nil, err
		}
		d.producers[asked.Producer] = client
	}
	offsets := make([]*int64, len(asked.Records))
	var firstProblem error
	var lock sync.Mutex
	var waiting sync.WaitGroup
	for index, one := range asked.Records {
		waiting.Add(1)
		client.Produce(ctx, incoming(asked.Topic, one), func(sent *kgo.Record, err error) {
			defer waiting.Done()
			lock.Lock()
			defer lock.Unlock()
			firstProblem = firstError(firstProblem, err)
			if err == nil && fmt.Sprint(asked.Acks) != "0" {
				offsets[index] = &sent.Offset
			}
		})
		time.Sleep(time.Duration(asked.PaceMs) * time.Millisecond)
	}
	waiting.Wait()
	if asked.Producer == "" {
		client.Close()
		delete(d.producers, "")
	}
	return answer{"offsets": offsets}, firstProblem
}

func (d *driver) consume(ctx context.Context, asked request) (answer, error) {
	start := kgo.NewOffset().AtStart()
	var from struct{ Offset, Time *int64 }
	if json.Unmarshal(asked.Start, &from) == nil {
		if from.Offset != nil {
			start = kgo.NewOffset().At(*from.Offset)
		} else if from.Time != nil {
			start = kgo.NewOffset().AfterMilli(*from.Time)
		}
	}
	client, err := d.open(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{asked.Topic: {asked.Partition: start}}))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	found, err := collect(ctx, client, asked.Count)
	return answer{"records": outgoing(found)}, err
}

func (d *driver) watermarks(ctx context.Context, asked request) (answer, error) {
	found, err := d.admin(func(admin *kadm.Client) (any, error) {
		first, err := admin.ListStartOffsets(ctx, asked.Topic)
		if err != nil {
			return nil, err
		}
		end, err := admin.ListEndOffsets(ctx, asked.Topic)
		beginning, _ := first.Lookup(asked.Topic, asked.Partition)
		last, _ := end.Lookup(asked.Topic, asked.Partition)
		return answer{"beginning": beginning.Offset, "end": last.Offset}, firstError(err, beginning.Err, last.Err)
	})
	if err != nil {
		return nil, err
	}
	return found.(answer), nil
}

func (d *driver) commit(ctx context.Context, asked request) error {
	_, err := d.admin(func(admin *kadm.Client) (any, error) {
		offsets := kadm.Offsets{}
		offsets.AddOffset(asked.Topic, asked.Partition, asked.Offset, -1)
		return nil, admin.CommitAllOffsets(ctx, asked.Group, offsets)
	})
	return err
}

func (d *driver) committed(ctx context.Context, asked request) (answer, error) {
	found, err := d.admin(func(admin *kadm.Client) (any, error) {
		offsets, err := admin.FetchOffsets(ctx, asked.Group)
		if entry, ok := offsets.Lookup(asked.Topic, asked.Partition); ok && entry.At >= 0 {
			return entry.At, firstError(err, entry.Err)
		}
		return nil, err
	})
	return answer{"offset": found}, err
}

func (d *driver) openMember(asked request, options ...kgo.Opt) (*kgo.Client, error) {
	return d.open(append(options, kgo.ConsumerGroup(asked.Group), kgo.ConsumeTopics(asked.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(6*time.Second),
		kgo.HeartbeatInterval(300*time.Millisecond))...)
}

func (d *driver) groupRead(ctx context.Context, asked request) (answer, error) {
	client, err := d.openMember(asked, kgo.DisableAutoCommit())
	if err != nil {
		return nil, err
	}
	defer client.Close()
	found, err := collect(ctx, client, asked.Count)
	if err != nil {
		return nil, err
	}
	return answer{"records": outgoing(found)}, client.CommitRecords(ctx, found...)
}

// member is a group's client that is polled by a goroutine of its own.
type member struct {
	client     *kgo.Client
	lock       sync.Mutex
	assignment map[int32]bool
	records    []*kgo.Record
	problem    error
	done       chan struct{}
}

func (d *driver) memberStart(asked request) (answer, error) {
	m := &member{assignment: map[int32]bool{}, done: make(chan struct{})}
	owns := func(held bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, moved map[string][]int32) { m.own(moved[asked.Topic], held) }
	}
	client, err := d.openMember(asked, kgo.AutoCommitInterval(500*time.Millisecond),
		kgo.OnPartitionsAssigned(owns(true)), kgo.OnPartitionsRevoked(owns(false)), kgo.OnPartitionsLost(owns(false)))
	if err != nil {
		return nil, err
	}
	m.client = client
	d.members[asked.Member] = m
	go m.poll()
	return answer{}, nil
}

func (m *member) own(partitions []int32, held bool) {
	m.lock.Lock()
	defer m.lock.Unlock()
	for _, partition := range partitions {
		if held {
			m.assignment[partition] = true
		} else {
			delete(m.assignment, partition)
		}
	}
}

func (m *member) poll() {
	defer close(m.done)
	for {
		fetches := m.client.PollFetches(context.Background())
		if fetches.IsClientClosed() {
			return
		}
		m.lock.Lock()
		m.records = append(m.records, fetches.Records()...)
		m.problem = firstError(m.problem, fetches.Err())
		m.lock.Unlock()
	}
}

func (m *member) seen() answer {
	m.lock.Lock()
	defer m.lock.Unlock()
	owned := []int32{}
	for partition := range m.assignment {
		owned = append(owned, partition)
	}
	sort.Slice(owned, func(i, j int) bool { return owned[i] < owned[j] })
	found := answer{"assignment": owned, "records": outgoing(m.records), "error": nil}
	if m.problem != nil {
		found["error"] = m.problem.Error()
	}
	m.records = nil
	return found
}

func (d *driver) memberClose(asked request) (answer, error) {
	m := d.members[asked.Member]
	delete(d.members, asked.Member)
	m.client.Close()
	<-m.done
	return m.seen(), nil
}

func collect(ctx context.Context, client *kgo.Client, count int) ([]*kgo.Record, error) {
	var found []*kgo.Record
	for len(found) < count {
		fetches := client.PollRecords(ctx, count-len(found))
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%d of %d records arrived", len(found), count)
		}
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		found = append(found, fetches.Records()...)
	}
	return found, nil
}

func incoming(topic string, one record) *kgo.Record {
	made := &kgo.Record{Topic: topic, Partition: -1, Key: bytesOf(one.Key), Value: bytesOf(one.Value)}
	if one.Partition != nil {
		made.Partition = *one.Partition
	}
	if one.Timestamp != nil {
		made.Timestamp = time.UnixMilli(*one.Timestamp)
	}
	for _, pair := range one.Headers {
		var name string
		var data []byte
		if err := firstError(json.Unmarshal(pair[0].raw, &name), unmarshalValue(pair[1], &data)); err != nil {
			panic(err)
		}
		made.Headers = append(made.Headers, kgo.RecordHeader{Key: name, Value: data})
	}
	return made
}

func unmarshalValue(from *blob, data *[]byte) error {
	if from == nil {
		return nil
	}
	return json.Unmarshal(from.raw, data)
}

func outgoing(found []*kgo.Record) []answer {
	records := []answer{}
	for _, one := range found {
		headers := [][2]any{}
		for _, header := range one.Headers {
			headers = append(headers, [2]any{header.Key, header.Value})
		}
		records = append(records, answer{
			"partition": one.Partition, "offset": one.Offset, "timestamp": one.Timestamp.UnixMilli(),
			"key": one.Key, "value": one.Value, "headers": headers,
		})
	}
	return records
}

func bytesOf(data *[]byte) []byte {
	if data == nil {
		return nil
	}
	return *data
}

func firstError(problems ...error) error {
	for _, problem := range problems {
		if problem != nil {
			return problem
		}
	}
	return nil
}
