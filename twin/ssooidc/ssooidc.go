// Package ssooidc plays the OIDC service of IAM Identity Center: tokens for applications that sign
// their requests (CreateTokenWithIAM), tokens for public clients that register themselves, the page
// at which people sign in, and the device flow.
//
// It is a stand-in for development and tests. What it knows is in twin/identitycenter; here is only
// how it is asked. Members of a request that an operation does not know are refused.
package ssooidc

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/awsjson"
	"github.com/shiftgrant/shiftgrant/twin/identitycenter"
	"github.com/shiftgrant/shiftgrant/twin/page"
	"github.com/shiftgrant/shiftgrant/twin/script"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

const maxBody = 128 << 10

// Config is what the service needs.
type Config struct {
	// URL is where the service is, for the addresses that it gives to clients.
	URL      string
	Center   *identitycenter.Center
	Registry *sigv4.Registry
	Region   string
	// Password is everybody's on the page.
	Password string
	Now      func() time.Time // nil is time.Now
}

// Server is an http.Handler for /client/register, /device_authorization, /token, /authorize and
// /device.
type Server struct {
	// Script tells operations to refuse; CreateToken and CreateTokenWithIAM are told apart.
	Script script.Script

	config   Config
	verifier sigv4.Verifier
	pages    http.Handler
}

// New makes the service.
func New(config Config) (*Server, error) {
	s := &Server{config: config, verifier: sigv4.Verifier{Registry: config.Registry, Region: config.Region, Service: "sso-oauth", Now: config.Now}}
	signIn, err := page.Parse(signInHTML)
	if err != nil {
		return nil, err
	}
	done, err := page.Parse(doneHTML)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	people := &people{config: config, signIn: signIn, done: done}
	mux.HandleFunc("/authorize", people.authorize)
	mux.HandleFunc("/device", people.device)
	s.pages = http.NewCrossOriginProtection().Handler(mux)
	return s, nil
}

// Register puts the service's paths on a mux.
func (s *Server) Register(mux *http.ServeMux) {
	for _, path := range []string{"POST /client/register", "POST /device_authorization", "POST /token", "GET /authorize", "POST /authorize", "GET /device", "POST /device"} {
		mux.Handle(path, s)
	}
}

// paths are those of the operations; CreateTokenWithIAM shares CreateToken's.
var paths = map[string]string{"/token": "CreateToken", "/client/register": "RegisterClient", "/device_authorization": "StartDeviceAuthorization"}

func (s *Server) operations() map[string]func(r *http.Request, body []byte) (any, error) {
	return map[string]func(*http.Request, []byte) (any, error){
		"CreateToken": s.createToken, "CreateTokenWithIAM": s.createTokenWithIAM,
		"RegisterClient": s.registerClient, "StartDeviceAuthorization": s.startDeviceAuthorization,
	}
}

// Names are those of the operations.
func (s *Server) Names() []string { return slices.Sorted(maps.Keys(s.operations())) }

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	operation := paths[r.URL.Path]
	if r.URL.Path == "/token" && r.URL.Query().Get("aws_iam") == "t" {
		operation = "CreateTokenWithIAM"
	}
	run, known := s.operations()[operation]
	if !known {
		s.pages.ServeHTTP(w, r)
		return
	}
	w.Header().Set("X-Amzn-RequestId", rand.Text())
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	answer, err := s.answer(w, r, operation, run)
	if err != nil {
		fail(w, err)
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, operation string, run func(*http.Request, []byte) (any, error)) (any, error) {
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "application/json" {
		return nil, invalid("the Content-Type must be application/json")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, invalid("the body is too large")
	}
	if refusal, refused := s.Script.Next(operation); refused {
		return nil, &awsjson.Error{Status: refusal.Status, Code: refusal.Code, Message: refusal.Message}
	}
	return run(r, body)
}

func invalid(format string, arguments ...any) error {
	return &identitycenter.Refusal{Reason: identitycenter.InvalidRequest, Message: fmt.Sprintf(format, arguments...)}
}

// exceptions are the types of the reasons that are not named by their words.
var exceptions = map[identitycenter.Reason]string{
	identitycenter.ExpiredToken:         "ExpiredTokenException",
	identitycenter.AuthorizationPending: "AuthorizationPendingException",
	identitycenter.UnsupportedGrant:     "UnsupportedGrantTypeException",
}

// exception is the type of a reason: invalid_grant is InvalidGrantException.
func exception(reason identitycenter.Reason) string {
	if name, found := exceptions[reason]; found {
		return name
	}
	var name strings.Builder
	for word := range strings.SplitSeq(string(reason), "_") {
		if word == "uri" {
			name.WriteString("Uri")
			continue
		}
		name.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return name.String() + "Exception"
}

// reasonOf is exception backwards, for refusals that a script gives by their type.
func reasonOf(code string) string {
	var reason strings.Builder
	for i, r := range strings.TrimSuffix(code, "Exception") {
		if r >= 'A' && r <= 'Z' && i > 0 {
			reason.WriteByte('_')
		}
		reason.WriteRune(r)
	}
	return strings.ToLower(reason.String())
}

// fail writes the error as this service does: OAuth's words in the body, the type in a header.
func fail(w http.ResponseWriter, err error) {
	if refused, ok := errors.AsType[*identitycenter.Refusal](err); ok {
		w.Header().Set("X-Amzn-ErrorType", exception(refused.Reason))
		w.WriteHeader(refused.Status())
		_ = json.NewEncoder(w).Encode(map[string]string{"error": string(refused.Reason), "error_description": refused.Message})
		return
	}
	if scripted, ok := errors.AsType[*awsjson.Error](err); ok {
		w.Header().Set("X-Amzn-ErrorType", scripted.Code)
		w.WriteHeader(scripted.Status)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": reasonOf(scripted.Code), "error_description": scripted.Message})
		return
	}
	awsjson.WriteError(w, err)
}

func decode(body []byte, into any) error {
	if err := awsjson.Decode(body, into); err != nil {
		return invalid("%s", err.Message)
	}
	return nil
}

// accessTokenType is the only type of token that is traded here.
const accessTokenType = "urn:ietf:params:oauth:token-type:access_token"

type iamRequest struct {
	ClientID           string   `json:"clientId"`
	GrantType          string   `json:"grantType"`
	Code               string   `json:"code"`
	RedirectURI        string   `json:"redirectUri"`
	CodeVerifier       string   `json:"codeVerifier"`
	Assertion          string   `json:"assertion"`
	SubjectToken       string   `json:"subjectToken"`
	SubjectTokenType   string   `json:"subjectTokenType"`
	RequestedTokenType string   `json:"requestedTokenType"`
	RefreshToken       string   `json:"refreshToken"`
	Scope              []string `json:"scope"`
}

// createTokenWithIAM gives an application tokens for a person, as one of its actors.
func (s *Server) createTokenWithIAM(r *http.Request, body []byte) (any, error) {
	caller, err := s.verifier.Verify(r, body)
	if err != nil {
		return nil, err
	}
	var q iamRequest
	if err := decode(body, &q); err != nil {
		return nil, err
	}
	application, err := s.config.Center.Application(q.ClientID)
	if err != nil {
		return nil, &identitycenter.Refusal{Reason: identitycenter.InvalidClient, Message: "there is no such application"}
	}
	if !slices.ContainsFunc([]string{caller.RoleARN, caller.ARN(), "arn:aws:iam::" + caller.Account + ":root"}, func(name string) bool { return slices.Contains(application.Actors, name) }) {
		return nil, &identitycenter.Refusal{Reason: identitycenter.AccessDenied, Message: "User: " + caller.ARN() + " is not authorized to perform: sso-oauth:CreateTokenWithIAM on the application"}
	}
	tokens, err := s.grant(r.Context(), q)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{
		"accessToken": tokens.AccessToken, "tokenType": "Bearer", "expiresIn": int(tokens.ExpiresIn.Seconds()), "scope": tokens.Scopes,
		"idToken": tokens.IDToken, "issuedTokenType": accessTokenType,
		"awsAdditionalDetails": map[string]string{"identityContext": tokens.IdentityContext},
	}
	if tokens.RefreshToken != "" {
		answer["refreshToken"] = tokens.RefreshToken
	}
	return answer, nil
}

func (s *Server) grant(ctx context.Context, q iamRequest) (identitycenter.Tokens, error) {
	switch q.GrantType {
	case identitycenter.JWTBearer:
		if q.Assertion == "" {
			return identitycenter.Tokens{}, invalid("assertion is needed")
		}
		return s.config.Center.ByAssertion(ctx, q.ClientID, q.Assertion, q.Scope)
	case identitycenter.RefreshToken:
		return s.config.Center.ByRefresh(q.ClientID, q.RefreshToken)
	case identitycenter.AuthorizationCode:
		return s.config.Center.ByCodeOf(q.ClientID, q.Code, q.RedirectURI, q.CodeVerifier)
	case identitycenter.TokenExchange:
		if q.SubjectToken == "" || q.SubjectTokenType != accessTokenType || q.RequestedTokenType != "" && q.RequestedTokenType != accessTokenType {
			return identitycenter.Tokens{}, invalid("subjectToken is needed, and the subjectTokenType and requestedTokenType %s", accessTokenType)
		}
		return s.config.Center.ByExchange(q.ClientID, q.SubjectToken, q.Scope)
	}
	return identitycenter.Tokens{}, &identitycenter.Refusal{
		Reason: identitycenter.UnsupportedGrant, Message: "the twin's CreateTokenWithIAM knows " + identitycenter.JWTBearer + ", " + identitycenter.TokenExchange + ", refresh_token and authorization_code",
	}
}
