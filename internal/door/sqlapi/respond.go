package sqlapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/shiftgrant/shiftgrant/internal/encode"
	"github.com/shiftgrant/shiftgrant/internal/web"
	"github.com/shiftgrant/shiftgrant/redshift"
)

// The trailers of CSV and Arrow, which have no place for totals.
const (
	trailerRowCount  = "Shiftgrant-Row-Count"
	trailerTruncated = "Shiftgrant-Truncated"
	trailerComplete  = "Shiftgrant-Complete"
)

// preference is how a caller wants rows. It is read before anything is run, so that a statement
// never runs for an answer that nobody can take.
type preference struct {
	format      encode.Format
	int64string bool
}

func readPreference(r *http.Request) (preference, error) {
	asString, err := readInt64(r)
	if err != nil {
		return preference{}, err
	}
	// Several headers are one list (RFC 9110 §5.3).
	accept := ""
	for i, value := range r.Header.Values("Accept") {
		if i > 0 {
			accept += ","
		}
		accept += value
	}
	format, err := encode.Negotiate(accept)
	return preference{format, asString}, err
}

// stream writes rows and closes them. An error it returns came before the first byte.
func (a *API) stream(w http.ResponseWriter, r *http.Request, rows redshift.Rows, want preference, statementID string) error {
	defer rows.Close()
	body := &lateBody{w: w, format: want.format}
	summary, err := encode.Write(body, want.format, rows, encode.Options{
		StatementID: statementID, Int64AsString: want.int64string,
		Flush:   http.NewResponseController(w).Flush,
		Problem: func(err error) []byte { return a.problemInResult(r.Context(), err) },
	})
	var unreachable *encode.WriteError
	switch {
	case err != nil && !body.begun && !errors.As(err, &unreachable):
		return err
	case err != nil && (!want.format.HasErrors() || errors.As(err, &unreachable)):
		// A short result must not look whole: break the connection.
		a.config.Logger.Warn("result cut short", "error", err, "request_id", web.RequestID(r.Context()))
		_ = rows.Close()
		panic(http.ErrAbortHandler)
	case err != nil:
		return nil // told within the document
	}
	body.begin() // a CSV result without columns has no byte
	if !want.format.HasErrors() {
		setTrailers(w.Header(), summary)
	}
	return nil
}

func setTrailers(header http.Header, summary redshift.Summary) {
	header.Set(trailerRowCount, strconv.FormatInt(summary.RowCount, 10))
	header.Set(trailerTruncated, summary.Limit)
	if !summary.Truncated {
		header.Set(trailerTruncated, "false")
	}
	header.Set(trailerComplete, "true")
}

func (a *API) problemInResult(ctx context.Context, err error) []byte {
	problem, _ := a.explain(ctx, err)
	return problem.JSON(web.RequestID(ctx))
}

// lateBody sends the status with the first byte, so that what fails before can still have its
// own.
type lateBody struct {
	w      http.ResponseWriter
	format encode.Format
	begun  bool
}

func (b *lateBody) begin() {
	if b.begun {
		return
	}
	b.begun = true
	header := b.w.Header()
	header.Set("Content-Type", b.format.ContentType())
	header.Set("Vary", "Accept")
	if !b.format.HasErrors() {
		header.Set("Trailer", trailerRowCount+", "+trailerTruncated+", "+trailerComplete)
	}
	b.w.WriteHeader(http.StatusOK)
}

func (b *lateBody) Write(p []byte) (int, error) {
	b.begin()
	return b.w.Write(p)
}

func writeJSON(w http.ResponseWriter, status int, document any) error {
	body, err := json.Marshal(document)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
	return nil
}
