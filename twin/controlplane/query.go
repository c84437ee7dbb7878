package controlplane

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
	"time"

	"github.com/shiftgrant/shiftgrant/twin/awsjson"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

// An action is one operation of the Query protocol: the parameters that it takes, the numbers of
// lists left out, and what it does.
type action struct {
	parameters []string
	run        func(*Server, sigv4.Credential, url.Values) (any, error)
}

var actions = map[string]action{
	"GetClusterCredentials":        {[]string{"ClusterIdentifier", "DbName", "DbUser", "DurationSeconds", "AutoCreate", "DbGroups.DbGroup"}, (*Server).getClusterCredentials},
	"GetClusterCredentialsWithIAM": {[]string{"ClusterIdentifier", "DbName", "DurationSeconds"}, (*Server).getClusterCredentialsWithIAM},
	"GetIdentityCenterAuthToken":   {[]string{"ClusterIds.ClusterIdentifier"}, (*Server).getClusterToken},
	"DescribeClusters":             {[]string{"ClusterIdentifier", "MaxRecords", "Marker"}, (*Server).describeClusters},
}

type errorDocument struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Namespace string   `xml:"xmlns,attr"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

// answerDocument has the action's name in its element and in its result's.
type answerDocument struct {
	XMLName   xml.Name
	Namespace string `xml:"xmlns,attr"`
	Result    any
	RequestID string `xml:"ResponseMetadata>RequestId"`
}

func (s *Server) serveQuery(w http.ResponseWriter, r *http.Request) {
	requestID := rand.Text()
	w.Header().Set("X-Amzn-RequestId", requestID)
	name, result, err := s.query(w, r)
	status := http.StatusOK
	var document any = answerDocument{XMLName: xml.Name{Local: name + "Response"}, Namespace: namespace, Result: result, RequestID: requestID}
	if err != nil {
		refused := asQuery(err)
		status = refused.Status
		document = errorDocument{Namespace: namespace, Type: "Sender", Code: refused.Code, Message: refused.Message, RequestID: requestID}
	}
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(document)
}

// queryCodes are what this protocol calls some errors of the other.
var queryCodes = map[string]awsjson.Error{
	"AccessDeniedException": {Code: "AccessDenied", Status: http.StatusForbidden},
	"ValidationException":   {Code: "ValidationError", Status: http.StatusBadRequest},
	"ThrottlingException":   {Code: "Throttling", Status: http.StatusBadRequest},
}

func asQuery(err error) *awsjson.Error {
	if ours, ok := errors.AsType[*awsjson.Error](err); ok {
		if other, renamed := queryCodes[ours.Code]; renamed {
			return &awsjson.Error{Status: other.Status, Code: other.Code, Message: ours.Message}
		}
		return ours
	}
	if signature, ok := errors.AsType[*sigv4.Error](err); ok {
		return &awsjson.Error{Status: signature.Status, Code: signature.Code, Message: signature.Message}
	}
	return &awsjson.Error{Status: http.StatusInternalServerError, Code: "InternalFailure", Message: "the twin's control plane failed"}
}

func (s *Server) query(w http.ResponseWriter, r *http.Request) (name string, result any, err error) {
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
	caller, err := s.provisioned.Verify(r, body)
	if err != nil {
		return "", nil, err
	}
	chosen, known := actions[name]
	if !known {
		return "", nil, awsjson.Refuse("InvalidAction", "the twin's redshift knows %s", strings.Join(slices.Sorted(maps.Keys(actions)), ", "))
	}
	for parameter := range form {
		if parameter != "Action" && parameter != "Version" && !slices.Contains(chosen.parameters, listPattern.ReplaceAllString(parameter, "")) {
			return "", nil, awsjson.Refuse("ValidationError", "the twin's %s takes %s", name, strings.Join(chosen.parameters, ", "))
		}
	}
	result, err = chosen.run(s, caller, form)
	return name, result, err
}

var listPattern = regexp.MustCompile(`\.[0-9]{1,3}$`)

// list reads Name.1, Name.2 and so on.
func list(form url.Values, name string) []string {
	var values []string
	for n := 1; form.Has(name + "." + strconv.Itoa(n)); n++ {
		values = append(values, form.Get(name+"."+strconv.Itoa(n)))
	}
	return values
}

func clusterNotFound(name string) error {
	return &awsjson.Error{Status: http.StatusNotFound, Code: "ClusterNotFound", Message: "Cluster " + name + " not found."}
}

// userPattern is what DbUser may be.
var userPattern = regexp.MustCompile(`^[a-z][a-z0-9+.@_-]{0,63}$`)

type clusterCredentials struct {
	XMLName     xml.Name
	User        string `xml:"DbUser"`
	Password    string `xml:"DbPassword"`
	Expiration  string `xml:"Expiration"`
	NextRefresh string `xml:"NextRefreshTime,omitempty"`
}

func (s *Server) getClusterCredentials(caller sigv4.Credential, form url.Values) (any, error) {
	cluster, user := form.Get("ClusterIdentifier"), form.Get("DbUser")
	denied := func(action, kind, name string) error {
		return awsjson.Refuse("AccessDeniedException", "User: %s is not authorized to perform: %s on resource: %s", caller.ARN(), action, strings.Join([]string{"arn:aws:redshift", s.config.Region, s.config.Account, kind, cluster + "/" + name}, ":"))
	}
	switch {
	case !slices.Contains(s.config.Clusters, cluster):
		return nil, clusterNotFound(cluster)
	case !userPattern.MatchString(user):
		return nil, awsjson.Refuse("ValidationError", "DbUser must be 1 to 64 of a-z, 0-9 and +.@_-, and begin with a letter")
	case caller.Tags[s.config.UserTag] != user:
		return nil, denied("redshift:GetClusterCredentials", "dbuser", user)
	case form.Get("AutoCreate") == "true":
		return nil, denied("redshift:CreateClusterUser", "dbuser", user)
	case form.Has("DbGroups.DbGroup.1"):
		return nil, denied("redshift:JoinGroup", "dbgroup", form.Get("DbGroups.DbGroup.1"))
	}
	life, err := lifetime(form.Get("DurationSeconds"))
	if err != nil {
		return nil, err
	}
	made, err := s.give("IAM:"+user, user, life)
	if err != nil {
		return nil, err
	}
	return clusterCredentials{
		XMLName: xml.Name{Local: "GetClusterCredentialsResult"}, User: made.name, Password: made.password,
		Expiration: made.expires.UTC().Format(time.RFC3339),
	}, nil
}

func (s *Server) getClusterCredentialsWithIAM(caller sigv4.Credential, form url.Values) (any, error) {
	if cluster := form.Get("ClusterIdentifier"); !slices.Contains(s.config.Clusters, cluster) {
		return nil, clusterNotFound(cluster)
	}
	made, err := s.roleLogin(caller, "redshift:GetClusterCredentialsWithIAM", form.Get("DurationSeconds"))
	if err != nil {
		return nil, err
	}
	return clusterCredentials{
		XMLName: xml.Name{Local: "GetClusterCredentialsWithIAMResult"}, User: made.name, Password: made.password,
		Expiration: made.expires.UTC().Format(time.RFC3339), NextRefresh: made.nextRefresh().UTC().Format(time.RFC3339),
	}, nil
}

type clusterToken struct {
	XMLName xml.Name `xml:"GetIdentityCenterAuthTokenResult"`
	Token   string
	Expires string `xml:"ExpirationTime"`
}

func (s *Server) getClusterToken(caller sigv4.Credential, form url.Values) (any, error) {
	token, expires, err := s.giveToken(caller, list(form, "ClusterIds.ClusterIdentifier"), s.config.Clusters, clusterNotFound)
	if err != nil {
		return nil, err
	}
	return clusterToken{Token: token, Expires: expires.UTC().Format(time.RFC3339)}, nil
}

type clusters struct {
	XMLName  xml.Name  `xml:"DescribeClustersResult"`
	Clusters []cluster `xml:"Clusters>Cluster"`
}

type cluster struct {
	Identifier string `xml:"ClusterIdentifier"`
	NodeType   string
	Status     string `xml:"ClusterStatus"`
	Available  string `xml:"ClusterAvailabilityStatus"`
	Database   string `xml:"DBName"`
	Address    string `xml:"Endpoint>Address"`
	Port       int    `xml:"Endpoint>Port"`
	Version    string `xml:"ClusterVersion"`
	Revision   string `xml:"ClusterRevisionNumber"`
	Nodes      int    `xml:"NumberOfNodes"`
	Public     bool   `xml:"PubliclyAccessible"`
	Encrypted  bool
	Namespace  string `xml:"ClusterNamespaceArn"`
}

func (s *Server) describeClusters(_ sigv4.Credential, form url.Values) (any, error) {
	asked := form.Get("ClusterIdentifier")
	if asked != "" && !slices.Contains(s.config.Clusters, asked) {
		return nil, clusterNotFound(asked)
	}
	host, port := s.config.Endpoint()
	var found clusters
	for _, name := range s.config.Clusters {
		if asked == "" || name == asked {
			found.Clusters = append(found.Clusters, cluster{
				Identifier: name, NodeType: "ra3.large", Status: "available", Available: "Available", Database: s.config.Database,
				Address: host, Port: port, Version: "1.0", Revision: "204", Nodes: 1, Encrypted: true, Namespace: s.arn("redshift", "namespace", "twin-"+name),
			})
		}
	}
	return found, nil
}
