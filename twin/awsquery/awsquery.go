// Package awsquery speaks AWS's Query protocol for services of the twin: a form in, XML out.
//
// It is strict where AWS is not: parameters that the action does not know are refused, because in a
// test a misspelt parameter that is silently ignored is worse than an error.
package awsquery

import (
	"crypto/rand"
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/shiftgrant/shiftgrant/twin/awsjson"
	"github.com/shiftgrant/shiftgrant/twin/script"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

const maxBody = 128 << 10

// An Action is one operation: the parameters that it takes, with the numbers of lists left out, and
// what it does. Its result is encoded as XML in an element that it names itself; nil has none.
type Action struct {
	Parameters []string
	Run        func(caller sigv4.Credential, form url.Values) (any, error)
}

// A Service is an http.Handler for the actions of one service.
type Service struct {
	Name      string // for messages
	Namespace string
	Verifier  sigv4.Verifier
	Actions   map[string]Action
	Script    *script.Script
}

// Names are those of the actions.
func (s *Service) Names() []string { return slices.Sorted(maps.Keys(s.Actions)) }

type errorDocument struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Namespace string   `xml:"xmlns,attr"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

// answerDocument has the action's name in its element.
type answerDocument struct {
	XMLName   xml.Name
	Namespace string `xml:"xmlns,attr"`
	Result    any
	RequestID string `xml:"ResponseMetadata>RequestId"`
}

// ServeHTTP answers one call.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	requestID := rand.Text()
	w.Header().Set("X-Amzn-RequestId", requestID)
	name, result, err := s.serve(w, r)
	status := http.StatusOK
	var document any = answerDocument{XMLName: xml.Name{Local: name + "Response"}, Namespace: s.Namespace, Result: result, RequestID: requestID}
	if err != nil {
		refused := worded(err)
		status = refused.Status
		document = errorDocument{Namespace: s.Namespace, Type: "Sender", Code: refused.Code, Message: refused.Message, RequestID: requestID}
	}
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(document)
}

// codes are what this protocol calls some errors of the other.
var codes = map[string]awsjson.Error{
	"AccessDeniedException": {Code: "AccessDenied", Status: http.StatusForbidden},
	"ValidationException":   {Code: "ValidationError", Status: http.StatusBadRequest},
	"ThrottlingException":   {Code: "Throttling", Status: http.StatusBadRequest},
}

func worded(err error) *awsjson.Error {
	if ours, ok := errors.AsType[*awsjson.Error](err); ok {
		if other, renamed := codes[ours.Code]; renamed {
			return &awsjson.Error{Status: other.Status, Code: other.Code, Message: ours.Message}
		}
		return ours
	}
	if signature, ok := errors.AsType[*sigv4.Error](err); ok {
		return &awsjson.Error{Status: signature.Status, Code: signature.Code, Message: signature.Message}
	}
	return &awsjson.Error{Status: http.StatusInternalServerError, Code: "InternalFailure", Message: "the twin failed: " + err.Error()}
}

func (s *Service) serve(w http.ResponseWriter, r *http.Request) (name string, result any, err error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return "", nil, &awsjson.Error{Status: http.StatusRequestEntityTooLarge, Code: "RequestEntityTooLarge", Message: "the body is too large"}
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return "", nil, awsjson.Refuse("MalformedQueryString", "the parameters must be a well-formed form")
	}
	name = form.Get("Action")
	if refusal, refused := s.Script.Next(name); refused {
		return "", nil, &awsjson.Error{Status: refusal.Status, Code: refusal.Code, Message: refusal.Message}
	}
	caller, err := s.Verifier.Verify(r, body)
	if err != nil {
		return "", nil, err
	}
	chosen, known := s.Actions[name]
	if !known {
		return "", nil, awsjson.Refuse("InvalidAction", "the twin's %s knows %s", s.Name, strings.Join(s.Names(), ", "))
	}
	for parameter := range form {
		if parameter != "Action" && parameter != "Version" && !chosen.takes(parameter, form.Get(parameter)) {
			return "", nil, awsjson.Refuse("ValidationException", "the twin's %s takes %s", name, strings.Join(chosen.Parameters, ", "))
		}
	}
	result, err = chosen.Run(caller, form)
	return name, result, err
}

// takes reports whether the action has a parameter. A list without members comes as its name alone.
func (a Action) takes(parameter, value string) bool {
	known := func(name string) bool { return value == "" && strings.HasPrefix(name, parameter+".") }
	return slices.Contains(a.Parameters, numbers.ReplaceAllString(parameter, "")) || slices.ContainsFunc(a.Parameters, known)
}

// numbers are those of lists, with the word that stands before them in the names of most.
var numbers = regexp.MustCompile(`(\.member)?\.[0-9]{1,3}\b`)

// List reads Name.1, Name.2 and so on.
func List(form url.Values, name string) []string {
	var values []string
	for n := 1; form.Has(name + "." + strconv.Itoa(n)); n++ {
		values = append(values, form.Get(name+"."+strconv.Itoa(n)))
	}
	return values
}
