package encode

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// A Coding is how a result is compressed on its way (RFC 9110 §8.4.1).
//
// Compressing is slower than everything else that happens to a row: a result is compressed only
// for a caller who asks for it by name, and then at the fastest level.
type Coding uint8

// The codings, in the order in which they are chosen among those that a caller likes as much.
// Zstandard gains more than gzip for the same time.
const (
	Zstd Coding = iota
	Gzip
	Identity
)

var codingNames = [...]string{Zstd: "zstd", Gzip: "gzip", Identity: "identity"}

// String is the name in Accept-Encoding and Content-Encoding.
func (c Coding) String() string { return codingNames[c] }

// ErrCodingNotAcceptable says that a caller forbids to send a result as it is, and takes no way of
// compressing it that we know.
var ErrCodingNotAcceptable = errors.New("none of the accepted content codings can be written")

// NegotiateCoding chooses the coding that an Accept-Encoding header likes best (RFC 9110
// §12.5.3): by weight among those that are named, then in our order. What is not named, or only by
// "*", is not asked for: then it is Identity, unless the header forbids that. An element that cannot
// be read counts as not there.
func NegotiateCoding(acceptEncoding string) (Coding, error) {
	weights := parseAcceptEncoding(acceptEncoding)
	best, bestWeight := Identity, 0
	for _, c := range []Coding{Zstd, Gzip} {
		if weight := weights[c.String()]; weight > bestWeight {
			best, bestWeight = c, weight
		}
	}
	others, anyOther := weights["*"]
	plain, weighed := weights[Identity.String()]
	if !weighed {
		plain, weighed = others, anyOther
	}
	switch {
	case bestWeight > 0 && bestWeight >= plain:
		return best, nil
	case plain > 0 || !weighed:
		return Identity, nil
	}
	// "*" is left, which does not stand for what is named.
	for _, c := range []Coding{Gzip, Zstd} {
		if _, named := weights[c.String()]; !named && others > 0 {
			return c, nil
		}
	}
	return Identity, ErrCodingNotAcceptable
}

// parseAcceptEncoding gives the weight of each name in thousandths; of a name that comes twice, the
// larger.
func parseAcceptEncoding(header string) map[string]int {
	weights := map[string]int{}
	for element := range strings.SplitSeq(header, ",") {
		name, parameter, weighted := strings.Cut(element, ";")
		name = strings.ToLower(strings.TrimSpace(name))
		if name == "x-gzip" { // RFC 9110 §8.4.1.3
			name = Gzip.String()
		}
		weight := 1000
		if weighted {
			key, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
			var ok bool
			if weight, ok = parseWeight(value); !ok || !strings.EqualFold(key, "q") {
				continue
			}
		}
		if name != "" {
			weights[name] = max(weights[name], weight)
		}
	}
	return weights
}

// A Compressor writes one result in a coding. Without End what was written is no valid stream, so
// that a result which was cut cannot be taken for a whole one.
type Compressor struct {
	stream stream
	out    *bufio.Writer // gzip writes 200 bytes at a time
	pool   *sync.Pool
}

// stream is what gzip and zstd have in common.
type stream interface {
	io.Writer
	Flush() error
	Close() error
	Reset(io.Writer)
}

// Compressors lends compressors: each holds about a megabyte, which is worth to be used again. The
// zero value is ready.
type Compressors struct{ gzip, zstd sync.Pool }

// To gives a compressor that writes to w. It must be released.
func (c *Compressors) To(w io.Writer, coding Coding) (*Compressor, error) {
	pool, open := &c.gzip, newGzip
	if coding == Zstd {
		pool, open = &c.zstd, newZstd
	}
	compressor, ok := pool.Get().(*Compressor)
	if !ok {
		stream, err := open()
		if err != nil {
			return nil, fmt.Errorf("make a compressor for %s: %w", coding, err)
		}
		compressor = &Compressor{stream: stream, out: bufio.NewWriterSize(io.Discard, 32<<10), pool: pool}
	}
	compressor.out.Reset(w)
	compressor.stream.Reset(compressor.out)
	return compressor, nil
}

func newGzip() (stream, error) { return gzip.NewWriterLevel(io.Discard, gzip.BestSpeed) }

// zstdWindow bounds what an encoder remembers of a result, and what a reader has to.
const zstdWindow = 128 << 10

// newZstd makes an encoder that works where it is called: one result takes one processor.
func newZstd() (stream, error) {
	return zstd.NewWriter(io.Discard, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true))
}

func (c *Compressor) Write(p []byte) (int, error) { return c.stream.Write(p) }

// Flush hands on everything that was written, so that a reader can read it.
func (c *Compressor) Flush() error { return cmp.Or(c.stream.Flush(), c.out.Flush()) }

// End writes what makes the stream a whole one.
func (c *Compressor) End() error { return cmp.Or(c.stream.Close(), c.out.Flush()) }

// Release gives the compressor back, with or without End.
func (c *Compressor) Release() {
	c.stream.Reset(io.Discard)
	c.out.Reset(io.Discard)
	c.pool.Put(c)
}
