package sqlapi

import (
	"net/http"

	"github.com/shiftgrant/shiftgrant/internal/encode"
)

// worthCompressing is the size below which a whole result is sent as it is.
const worthCompressing = 1 << 10

// lateBody sends the status with the first byte, so that what fails before can still have its
// own. It compresses where that was asked for.
type lateBody struct {
	w           http.ResponseWriter
	want        preference
	compressors *encode.Compressors
	begun       bool
	held        []byte             // of a result that may be too small to be compressed
	compressor  *encode.Compressor // nil for a result that is sent as it is
}

func (b *lateBody) begin(coding encode.Coding) error {
	if b.begun {
		return nil
	}
	b.begun = true
	header := b.w.Header()
	if coding != encode.Identity {
		compressor, err := b.compressors.To(b.w, coding)
		if err != nil {
			return err
		}
		b.compressor = compressor
		header.Set("Content-Encoding", coding.String())
	}
	header.Set("Content-Type", b.want.format.ContentType())
	header.Set("Vary", "Accept, Accept-Encoding")
	if !b.want.format.HasErrors() {
		header.Set("Trailer", trailerRowCount+", "+trailerTruncated+", "+trailerComplete)
	}
	b.w.WriteHeader(http.StatusOK)
	return nil
}

func (b *lateBody) Write(p []byte) (int, error) {
	if !b.begun && b.want.coding != encode.Identity && len(b.held)+len(p) < worthCompressing {
		b.held = append(b.held, p...)
		return len(p), nil
	}
	if err := b.begin(b.want.coding); err != nil {
		return 0, err
	}
	return len(p), b.send(p)
}

// send writes what was held, and p.
func (b *lateBody) send(p []byte) error {
	for _, part := range [][]byte{b.held, p} {
		var err error
		switch {
		case len(part) == 0:
		case b.compressor != nil:
			_, err = b.compressor.Write(part)
		default:
			_, err = b.w.Write(part)
		}
		if err != nil {
			return err
		}
	}
	b.held = nil
	return nil
}

// flush hands on all that was written so far.
func (b *lateBody) flush() error {
	if err := b.begin(b.want.coding); err != nil {
		return err
	}
	if err := b.send(nil); err != nil {
		return err
	}
	if b.compressor != nil {
		if err := b.compressor.Flush(); err != nil {
			return err
		}
	}
	return http.NewResponseController(b.w).Flush()
}

// end makes the body a whole one. A result without a byte still has its status.
func (b *lateBody) end() error {
	if err := b.begin(encode.Identity); err != nil {
		return err
	}
	if err := b.send(nil); err != nil || b.compressor == nil {
		return err
	}
	return b.compressor.End()
}

// cut comes before the connection is broken. Some clients repeat a request that was answered by
// nothing at all, so they get the status and what rows there are.
func (b *lateBody) cut() { _ = b.flush() }

// release comes last. A body that was not ended stays as it was cut.
func (b *lateBody) release() {
	if b.compressor != nil {
		b.compressor.Release()
		b.compressor = nil
	}
}
