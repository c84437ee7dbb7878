package connect_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/shiftgrant/shiftgrant/connect"
)

// An app mounts three handlers, and asks for the session of a request.
func Example() {
	client, err := connect.New(connect.Config{
		Issuer:       "https://grants.example.com",
		ClientID:     "stargazer",
		ClientSecret: os.Getenv("STARGAZER_CLIENT_SECRET"),
		RedirectURL:  "https://stargazer.example/callback",
		Scopes:       []string{"openid", "profile", "offline_access", "sql:read"},
		Key:          []byte("32 random bytes, kept by the app"),
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", client.Login)
	mux.HandleFunc("GET /callback", client.Callback)
	mux.HandleFunc("POST /logout", client.Logout)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		session, err := client.Session(r)
		if errors.Is(err, connect.ErrSignedOut) {
			http.Redirect(w, r, "/login", http.StatusSeeOther)
			return
		}
		if err != nil {
			http.Error(w, "Please try again in a minute.", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, "Hello, %s", session.Identity().Name)
	})

	// Somebody who is not signed in:
	page := httptest.NewRecorder()
	mux.ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/", nil))
	fmt.Println(page.Code, page.Header().Get("Location"))
	// Output: 303 /login
}

// Rows arrive while the result is being read, and a result that was cut is an error.
func ExampleSession_Query() {
	session, end := signedIn(`{"columns":[{"name":"eventname","type":"varchar"},{"name":"sold","type":"bigint"}]}
["Mamma Mia!",3658]
["Spring Awakening",3125]
{"row_count":2,"truncated":false,"complete":true}`)
	defer end()

	rows, err := session.Query(context.Background(), "select eventname, sum(qtysold) as sold from tickit.sales join tickit.event using (eventid) where qtysold > :least group by 1",
		connect.Parameter{Name: "least", Value: 2})
	if err != nil {
		log.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var event string
		var sold int64
		if err := rows.Scan(&event, &sold); err != nil {
			log.Fatal(err)
		}
		fmt.Println(event, sold)
	}
	fmt.Println(rows.Err())
	// Output:
	// Mamma Mia! 3658
	// Spring Awakening 3125
	// <nil>
}

// A refusal of Redshift says what is wrong with the SQL, and where.
func ExampleAPIError() {
	session, end := signedIn(`{"error":{"title":"The statement failed","detail":"permission denied for schema finance","sqlstate":"42501","position":15}}`)
	defer end()

	_, err := session.Query(context.Background(), "select * from finance.commission_ledger")
	var refused *connect.APIError
	if errors.As(err, &refused) {
		fmt.Println(refused.Detail, refused.SQLState, refused.Position)
	}
	// Output: permission denied for schema finance 42501 15
}

// signedIn is a session at a gateway that gives every query the same answer.
func signedIn(answer string) (session *connect.Session, end func()) {
	mux := http.NewServeMux()
	gateway := httptest.NewServer(mux)
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{
			"issuer": gateway.URL, "authorization_endpoint": gateway.URL + "/oauth2/authorize", "token_endpoint": gateway.URL + "/oauth2/token",
		})
	})
	mux.HandleFunc("POST /oauth2/token", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"a","token_type":"Bearer","expires_in":600}`)
	})
	mux.HandleFunc("POST /v1/query", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) })
	client, err := connect.New(connect.Config{
		Issuer: gateway.URL, ClientID: "stargazer", RedirectURL: "http://localhost:7421/callback", Scopes: []string{"sql:read"},
		Key: []byte("32 random bytes, kept by the app"),
	})
	if err != nil {
		log.Fatal(err)
	}
	begin := httptest.NewRecorder()
	client.Login(begin, httptest.NewRequest(http.MethodGet, "/login", nil))
	location, err := begin.Result().Location()
	if err != nil {
		log.Fatal(err)
	}
	callback := httptest.NewRequest(http.MethodGet, "/callback?code=c&state="+location.Query().Get("state"), nil)
	for _, cookie := range begin.Result().Cookies() {
		callback.AddCookie(cookie)
	}
	done := httptest.NewRecorder()
	client.Callback(done, callback)
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, cookie := range done.Result().Cookies() {
		request.AddCookie(cookie)
	}
	if session, err = client.Session(request); err != nil {
		log.Fatal(err)
	}
	return session, gateway.Close
}
