package encode

import (
	"bytes"
	stdgzip "compress/gzip"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func TestCodingIsNegotiated(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		header string
		want   Coding
	}{
		{"", Identity},
		{" ", Identity},
		{"identity", Identity},
		{"gzip", Gzip},
		{"x-gzip", Gzip},
		{"GZIP", Gzip},
		{"zstd", Zstd},
		{"gzip, deflate, br, zstd", Zstd}, // browsers
		{"gzip, deflate, br", Gzip},
		{"deflate, br", Identity}, // not ours
		{"gzip;q=1.0, zstd;q=0.5", Gzip},
		{"zstd;q=0.001, gzip;q=0.002", Gzip},
		{"gzip ; Q=0.5 , zstd ; q=0.4", Gzip},
		{"gzip;q=0", Identity},
		{"gzip;q=0, zstd", Zstd},
		{"gzip;q=0.0, zstd;q=0.000", Identity},
		{"identity, gzip;q=0.5", Identity},
		{"identity;q=0.5, gzip;q=0.5", Gzip},
		{"identity;q=0.4, gzip;q=0.5", Gzip},
		{"identity;q=0, gzip;q=0.1", Gzip},
		{"*", Identity},
		{"*;q=0.1", Identity},
		{"gzip, *", Gzip},
		{"gzip;q=0.5, *", Identity},
		{"gzip;q=0.5, *;q=0.5", Gzip},
		{"gzip;q=0.5, *;q=0", Gzip},
		{"gzip;q=0.5, identity;q=0, *", Gzip},
		{"identity;q=0, *", Gzip},
		{"identity;q=0, gzip;q=0, *", Zstd},
		{"gzip;q=0, *;q=0, identity", Identity},
		{"gzip;q=1.5", Identity}, // cannot be read
		{"gzip;level=9", Identity},
		{"gzip;q=", Identity},
		{";q=1,,", Identity},
		{"gzip;q=0.3, gzip;q=0.9, zstd;q=0.5", Gzip},
	} {
		if got, err := NegotiateCoding(c.header); got != c.want || err != nil {
			t.Errorf("%q: %s, %v; want %s", c.header, got, err, c.want)
		}
	}
	for _, header := range []string{"*;q=0", "identity;q=0", "br, identity;q=0", "gzip;q=0, zstd;q=0, identity;q=0", "gzip;q=0, zstd;q=0, identity;q=0, *"} {
		if got, err := NegotiateCoding(header); !errors.Is(err, ErrCodingNotAcceptable) {
			t.Errorf("%q: %s, %v; want none", header, got, err)
		}
	}
}

// FuzzNegotiateCoding holds the choice to what must be true of it whatever the header is.
func FuzzNegotiateCoding(f *testing.F) {
	for _, header := range []string{"", "gzip", "gzip;q=0.5, *;q=0", "identity;q=0,zstd;q=1.000", ";;,q=,*;q=2"} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		coding, err := NegotiateCoding(header)
		lower := strings.ToLower(header)
		switch {
		case err != nil && !strings.Contains(lower, "q=0"):
			t.Errorf("%q: refused, though nothing is forbidden", header)
		case coding != Identity && !strings.Contains(lower, coding.String()) && !strings.Contains(lower, "*"):
			t.Errorf("%q: %s was not asked for", header, coding)
		}
	})
}

// decompress reads with other hands than those that wrote where there are any.
func decompress(coding Coding, compressed io.Reader) ([]byte, error) {
	if coding == Gzip {
		reader, err := stdgzip.NewReader(compressed)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(reader)
	}
	reader, err := zstd.NewReader(compressed, zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	return io.ReadAll(reader)
}

func TestCompressedResultComesBack(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 3<<20)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	var compressors Compressors
	for _, coding := range []Coding{Gzip, Zstd} {
		for name, body := range map[string][]byte{
			"nothing": nil, "one byte": {'x'}, "text": bytes.Repeat([]byte("[1,\"alice\"],\n"), 1<<18), "noise": noise,
		} {
			for range 2 { // the second time with a compressor that was used
				var sent bytes.Buffer
				c, err := compressors.To(&sent, coding)
				if err != nil {
					t.Fatal(err)
				}
				for chunk := range chunks(body, 70000) {
					if _, err := c.Write(chunk); err != nil {
						t.Fatal(err)
					}
				}
				if err := c.End(); err != nil {
					t.Fatal(err)
				}
				c.Release()
				got, err := decompress(coding, &sent)
				if err != nil || !bytes.Equal(got, body) {
					t.Errorf("%s of %s: %d bytes came back of %d: %v", coding, name, len(got), len(body), err)
				}
			}
		}
	}
}

func chunks(body []byte, size int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(body) > 0 {
			n := min(size, len(body))
			if !yield(body[:n]) {
				return
			}
			body = body[n:]
		}
	}
}

func TestCompressedResultCanBeReadAfterFlush(t *testing.T) {
	t.Parallel()
	var compressors Compressors
	for _, coding := range []Coding{Gzip, Zstd} {
		var sent bytes.Buffer
		c, err := compressors.To(&sent, coding)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("the first row")); err != nil {
			t.Fatal(err)
		}
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		got, err := decompress(coding, &sent)
		if string(got) != "the first row" || err == nil {
			t.Errorf("%s: read %q, %v; want the row, and no end", coding, got, err)
		}
		c.Release()
	}
}

func TestCutResultIsNoValidStream(t *testing.T) {
	t.Parallel()
	body := bytes.Repeat([]byte("0123456789,some text\r\n"), 1<<15)
	var compressors Compressors
	for _, coding := range []Coding{Gzip, Zstd} {
		for _, length := range []int{0, 1, 1000, len(body)} {
			var sent bytes.Buffer
			c, err := compressors.To(&sent, coding)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write(body[:length]); err != nil {
				t.Fatal(err)
			}
			if err := c.Flush(); err != nil {
				t.Fatal(err)
			}
			c.Release()
			if sent.Len() == 0 {
				continue // nothing at all, which HTTP has to tell
			}
			if got, err := decompress(coding, &sent); err == nil {
				t.Errorf("%s, cut after %d bytes: %d bytes look whole", coding, length, len(got))
			}
		}
	}
}
