package sqlapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

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

// transportHeader tells by which transport the rows came: wire or dataapi.
const transportHeader = "Shiftgrant-Transport"

// preference is how a caller wants rows. It is read before anything is run, so that a statement
// never runs for an answer that nobody can take.
type preference struct {
	format      encode.Format
	coding      encode.Coding
	int64string bool
}

func readPreference(r *http.Request) (preference, error) {
	asString, err := readInt64(r)
	if err != nil {
		return preference{}, err
	}
	format, err := encode.Negotiate(listOf(r.Header, "Accept"))
	if err != nil {
		return preference{}, err
	}
	coding, err := encode.NegotiateCoding(listOf(r.Header, "Accept-Encoding"))
	return preference{format, coding, asString}, err
}

// listOf takes several headers for one list (RFC 9110 §5.3).
func listOf(header http.Header, name string) string { return strings.Join(header.Values(name), ",") }

// stream writes rows and closes them. An error it returns came before the first byte.
func (a *API) stream(w http.ResponseWriter, r *http.Request, rows redshift.Rows, want preference, statementID string) error {
	defer rows.Close()
	body := &lateBody{w: w, want: want, compressors: &a.compressors}
	defer body.release()
	summary, err := encode.Write(body, want.format, rows, encode.Options{
		StatementID: statementID, Int64AsString: want.int64string, Flush: body.flush,
		Problem: func(err error) []byte { return a.problemInResult(r.Context(), err) },
	})
	var unreachable *encode.WriteError
	if err != nil && !body.begun && !errors.As(err, &unreachable) {
		return err
	}
	told := err != nil && want.format.HasErrors() && !errors.As(err, &unreachable) // within the document
	if err == nil || told {
		if failure := body.end(); failure != nil {
			err, told = failure, false
		}
	}
	if err != nil && !told {
		// A short result must not look whole: break the connection.
		a.config.Logger.Warn("result cut short", "error", err, "request_id", web.RequestID(r.Context()))
		body.cut()
		_ = rows.Close()
		panic(http.ErrAbortHandler)
	}
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
