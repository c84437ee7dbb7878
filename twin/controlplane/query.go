package controlplane

import (
	"cmp"
	"encoding/xml"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/awsjson"
	"github.com/shiftgrant/shiftgrant/twin/awsquery"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

func (s *Server) newProvisioned() *awsquery.Service {
	return &awsquery.Service{
		Name: "redshift", Namespace: namespace, Script: &s.Script,
		Verifier: sigv4.Verifier{Registry: s.config.Registry, Region: s.config.Region, Service: "redshift", Protocol: sigv4.Query, Now: s.config.Now},
		Actions: map[string]awsquery.Action{
			"GetClusterCredentials": {
				Parameters: []string{"ClusterIdentifier", "DbName", "DbUser", "DurationSeconds", "AutoCreate", "DbGroups.DbGroup", "CustomDomainName"}, Run: s.getClusterCredentials,
			},
			"GetClusterCredentialsWithIAM":    {Parameters: []string{"ClusterIdentifier", "DbName", "DurationSeconds", "CustomDomainName"}, Run: s.getClusterCredentialsWithIAM},
			"GetIdentityCenterAuthToken":      {Parameters: []string{"ClusterIds.ClusterIdentifier"}, Run: s.getClusterToken},
			"DescribeClusters":                {Parameters: []string{"ClusterIdentifier", "MaxRecords", "Marker", "TagKeys.TagKey", "TagValues.TagValue"}, Run: s.describeClusters},
			"CreateRedshiftIdcApplication":    {Parameters: applicationParameters, Run: s.createApplication},
			"ModifyRedshiftIdcApplication":    {Parameters: applicationParameters, Run: s.modifyApplication},
			"DescribeRedshiftIdcApplications": {Parameters: []string{"RedshiftIdcApplicationArn", "MaxRecords", "Marker"}, Run: s.describeApplications},
			"DeleteRedshiftIdcApplication":    {Parameters: []string{"RedshiftIdcApplicationArn"}, Run: s.deleteApplication},
		},
	}
}

// clusterOf is the cluster that a form names. No domain name leads to one here.
func (s *Server) clusterOf(form url.Values) (string, error) {
	name := cmp.Or(form.Get("ClusterIdentifier"), form.Get("CustomDomainName"))
	if form.Has("CustomDomainName") || !slices.Contains(s.config.Clusters, name) {
		return "", clusterNotFound(name)
	}
	return name, nil
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
	cluster, err := s.clusterOf(form)
	if err != nil {
		return nil, err
	}
	user := form.Get("DbUser")
	denied := func(action, kind, name string) error {
		return awsjson.Refuse("AccessDeniedException", "User: %s is not authorized to perform: %s on resource: %s", caller.ARN(), action, strings.Join([]string{"arn:aws:redshift", s.config.Region, s.config.Account, kind, cluster + "/" + name}, ":"))
	}
	switch {
	case !userPattern.MatchString(user):
		return nil, awsjson.Refuse("ValidationException", "DbUser must be 1 to 64 of a-z, 0-9 and +.@_-, and begin with a letter")
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
	if _, err := s.clusterOf(form); err != nil {
		return nil, err
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
	token, expires, err := s.giveToken(caller, awsquery.List(form, "ClusterIds.ClusterIdentifier"), s.config.Clusters, clusterNotFound)
	if refused, ok := err.(*awsjson.Error); ok && refused.Code == "ValidationException" {
		return nil, awsjson.Refuse("RedshiftInvalidParameter", "%s", refused.Message)
	}
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
		tagged := form.Has("TagKeys.TagKey.1") || form.Has("TagValues.TagValue.1") // no cluster has a tag
		if (asked == "" || name == asked) && !tagged {
			found.Clusters = append(found.Clusters, cluster{
				Identifier: name, NodeType: "ra3.large", Status: "available", Available: "Available", Database: s.config.Database,
				Address: host, Port: port, Version: "1.0", Revision: "204", Nodes: 1, Encrypted: true, Namespace: s.arn("redshift", "namespace", "twin-"+name),
			})
		}
	}
	return found, nil
}
