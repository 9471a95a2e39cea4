// Package driver is the standard streams' side of the Go drivers; the vocabulary is described in compat/README.md.
package driver

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"runtime/debug"
	"time"
)

// lineBytesMax bounds a request line: thousands of records, or a big one, as base64.
const lineBytesMax = 64 << 20

// Record is one to send; Partition nil: the client chooses, Timestamp (ms) nil: the same.
type Record struct {
	Partition *int32     `json:"partition"`
	Timestamp *int64     `json:"timestamp"`
	Key       *[]byte    `json:"key"`
	Value     *[]byte    `json:"value"`
	Headers   [][2]*blob `json:"headers"`
}

// Header is a name and a value that may be nil.
type Header struct {
	Name  string
	Value []byte
}

// blob is a header's name (text) or value (base64 or null); which one depends on its place in the pair.
type blob struct{ raw json.RawMessage }

func (b *blob) UnmarshalJSON(raw []byte) error { b.raw = append(b.raw, raw...); return nil }

// Request has the arguments of all commands.
type Request struct {
	ID         int64           `json:"id"`
	Do         string          `json:"do"`
	TimeoutS   float64         `json:"timeout_s"`
	Bootstrap  string          `json:"bootstrap"`
	Topic      string          `json:"topic"`
	Partition  int32           `json:"partition"`
	Partitions int32           `json:"partitions"`
	Records    []Record        `json:"records"`
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

// Answer is what a command found.
type Answer map[string]any

// From is where to read from: an offset, a time in ms, or, both being nil, the beginning.
type From struct{ Offset, Time *int64 }

// Start is where to consume from.
func (r Request) StartsFrom() From {
	var from From
	if json.Unmarshal(r.Start, &from) != nil {
		return From{}
	}
	return from
}

// Serve answers requests from standard input until it ends.
func Serve(answer func(context.Context, Request) (Answer, error)) {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<20), lineBytesMax)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked Request
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			panic(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(asked.TimeoutS*float64(time.Second)))
		found, err := answer(ctx, asked)
		cancel()
		reply := Answer{"id": asked.ID, "ok": found}
		if err != nil {
			reply = Answer{"id": asked.ID, "error": err.Error()}
		}
		if err := out.Encode(reply); err != nil {
			panic(err)
		}
	}
}

// VersionOf tells which version of a module the program was built with.
func VersionOf(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == path {
				return module.Version
			}
		}
	}
	return "unknown"
}

// Pairs are the headers of a record.
func (r Record) Pairs() []Header {
	var found []Header
	for _, pair := range r.Headers {
		var one Header
		if err := FirstError(json.Unmarshal(pair[0].raw, &one.Name), unmarshalValue(pair[1], &one.Value)); err != nil {
			panic(err)
		}
		found = append(found, one)
	}
	return found
}

func unmarshalValue(from *blob, data *[]byte) error {
	if from == nil {
		return nil
	}
	return json.Unmarshal(from.raw, data)
}

// BytesOf is nil for what was null.
func BytesOf(data *[]byte) []byte {
	if data == nil {
		return nil
	}
	return *data
}

// Read is a consumed record as the runner wants it.
func Read(partition int32, offset int64, at time.Time, key, value []byte, headers []Header) Answer {
	pairs := [][2]any{}
	for _, header := range headers {
		pairs = append(pairs, [2]any{header.Name, header.Value})
	}
	return Answer{
		"partition": partition, "offset": offset, "timestamp": at.UnixMilli(),
		"key": key, "value": value, "headers": pairs,
	}
}

// FirstError is the first that isn't nil, if any.
func FirstError(problems ...error) error {
	for _, problem := range problems {
		if problem != nil {
			return problem
		}
	}
	return nil
}
