package stargazer

import (
	"context"
	"errors"
	"net/http"

	"github.com/shiftgrant/shiftgrant/connect"
)

var connectAgain = &link{"Connect Amazon Redshift", "/login"}

// problem says why connecting came to nothing. The words are ours: what came in the URL of a
// callback may be anybody's.
func (a *app) problem(w http.ResponseWriter, _ *http.Request, err *connect.Error) {
	a.logger.Info("not connected", "error", err)
	switch err.Kind {
	case connect.Denied:
		a.say(w, http.StatusForbidden, message{
			Title: "Access was denied",
			What:  "You decided not to let Stargazer read from Redshift, or your company does not allow it. Nothing was connected.",
			Do:    "If you change your mind, connect again.",
			Link:  connectAgain,
		})
	case connect.Expired:
		a.say(w, http.StatusBadRequest, message{
			Title: "That took a little too long",
			What:  "Connecting has to be finished within a few minutes, once, and in the browser where it began. Nothing was connected by this.",
			Do:    "Connect again. It is quick when you are still signed in.",
			Link:  connectAgain,
		})
	case connect.Foreign:
		a.say(w, http.StatusBadRequest, message{
			Title: "This was not started here",
			What:  "The link belongs to another browser, or was used before. If somebody sent it to you, do not follow it. Nothing was connected by this.",
			Do:    "To use Stargazer yourself, connect again from here.",
			Link:  connectAgain,
		})
	case connect.Unavailable:
		w.Header().Set("Retry-After", "10")
		a.say(w, http.StatusBadGateway, message{
			Title: "Redshift's gateway does not answer",
			What:  "Stargazer could not reach the gateway through which it connects to Redshift. Nothing was connected.",
			Do:    "Try again in a minute.",
			Link:  &link{"Try again", "/login"},
		})
	default:
		a.say(w, http.StatusBadGateway, message{
			Title: "Connecting did not work",
			What:  "The gateway gave an answer that Stargazer cannot accept. Nothing was connected.",
			Do:    "Try again. If it happens again, tell us: it is ours to repair, not yours.",
			Link:  &link{"Try again", "/login"},
		})
	}
}

// ended says that the connection is over, by the person's own hand at the gateway or by time.
func (a *app) ended(w http.ResponseWriter) {
	a.say(w, http.StatusUnauthorized, message{
		Title: "Your connection has ended",
		What:  "Stargazer's access to Redshift was taken back or has expired. Your question was not run.",
		Do:    "Connect again to go on.",
		Link:  connectAgain,
	})
}

// broken says that the app's own house is not in order.
func (a *app) broken(w http.ResponseWriter, err error) {
	a.logger.Error("load session", "error", err)
	a.say(w, http.StatusServiceUnavailable, message{
		Title: "Stargazer cannot see right now",
		What:  "We could not look up your connection. It is still there.",
		Do:    "Try again in a minute.",
		Link:  &link{"Try again", "/ask"},
	})
}

// A refusal is what Redshift, or the way to it, said instead of an answer.
type refusal struct {
	Title, What, Detail, Do string
	SQLState, Reference     string
}

// refusalOf puts an error in words, and in a status. databaseUser may be empty.
func refusalOf(err error, databaseUser string) (int, *refusal) {
	var said *connect.APIError
	switch {
	case errors.Is(err, errNothingAsked):
		return http.StatusBadRequest, &refusal{Title: "There is no question yet", What: "Write one SQL statement, or choose one of the examples."}
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout, &refusal{Title: "That took too long", What: "Stargazer waited two minutes and then told Redshift to stop.", Do: "Ask for less: fewer rows, a shorter time."}
	case !errors.As(err, &said):
		return http.StatusBadGateway, &refusal{Title: "The gateway does not answer", What: "Stargazer could not reach the gateway, or lost it on the way.", Do: "Try again in a minute."}
	}
	r := &refusal{Title: "There is no answer", What: said.Title, Detail: said.Detail, SQLState: said.SQLState, Reference: said.RequestID}
	switch {
	case said.SQLState == insufficientPrivilege && databaseUser != "":
		r.Title = "Redshift refused"
		r.Do = "You are " + databaseUser + " there, and " + databaseUser + " may not do this. Ask whoever looks after the warehouse for access, or ask something else."
	case said.SQLState != "":
		r.Title = "Redshift refused"
	case said.Status == http.StatusForbidden:
		r.Title = "Stargazer may not do this"
		r.Do = "You allowed it to read. It cannot change anything."
	}
	return http.StatusUnprocessableEntity, r
}

// insufficientPrivilege is the SQLSTATE of a right that the database user lacks.
const insufficientPrivilege = "42501"
