package postgres

// The words that names are made of. None of them is a real venue, event or person.

type city struct{ name, state string }

var cities = []city{
	{"Albany", "NY"},
	{"Anchorage", "AK"},
	{"Asheville", "NC"},
	{"Atlanta", "GA"},
	{"Austin", "TX"},
	{"Baltimore", "MD"},
	{"Boise", "ID"},
	{"Boston", "MA"},
	{"Buffalo", "NY"},
	{"Charleston", "SC"},
	{"Chicago", "IL"},
	{"Cleveland", "OH"},
	{"Columbus", "OH"},
	{"Dallas", "TX"},
	{"Denver", "CO"},
	{"Des Moines", "IA"},
	{"Detroit", "MI"},
	{"Duluth", "MN"},
	{"El Paso", "TX"},
	{"Eugene", "OR"},
	{"Fargo", "ND"},
	{"Fresno", "CA"},
	{"Hartford", "CT"},
	{"Honolulu", "HI"},
	{"Houston", "TX"},
	{"Knoxville", "TN"},
	{"Lansing", "MI"},
	{"Las Vegas", "NV"},
	{"Lincoln", "NE"},
	{"Louisville", "KY"},
	{"Madison", "WI"},
	{"Memphis", "TN"},
	{"Miami", "FL"},
	{"Milwaukee", "WI"},
	{"Mobile", "AL"},
	{"Nashville", "TN"},
	{"New Orleans", "LA"},
	{"New York", "NY"},
	{"Oakland", "CA"},
	{"Omaha", "NE"},
	{"Orlando", "FL"},
	{"Phoenix", "AZ"},
	{"Pittsburgh", "PA"},
	{"Portland", "OR"},
	{"Providence", "RI"},
	{"Raleigh", "NC"},
	{"Reno", "NV"},
	{"Richmond", "VA"},
	{"Sacramento", "CA"},
	{"Salt Lake City", "UT"},
	{"San Diego", "CA"},
	{"Santa Fe", "NM"},
	{"Savannah", "GA"},
	{"Seattle", "WA"},
	{"Spokane", "WA"},
	{"Tampa", "FL"},
	{"Toledo", "OH"},
	{"Tucson", "AZ"},
	{"Tulsa", "OK"},
	{"Wichita", "KS"},
}

var (
	namesakes  = []string{"Alder", "Bellweather", "Cobalt", "Copperfield Lane", "Driftwood", "Ellery", "Fairlight", "Garnet", "Halcyon", "Ironbridge", "Juniper", "Kestrel", "Larkspur", "Meridian", "Northgate", "Old Mill", "Palisade", "Quarry Road", "Rosewater", "Silverline", "Thistle", "Union Square", "Vesper", "Windmere"}
	stageNames = []string{"Theatre", "Playhouse", "Stage", "Repertory", "Music Box", "Little Theatre"}
	hallNames  = []string{"Concert Hall", "Opera House", "Symphony Hall", "Auditorium"}
	arenaNames = []string{"Arena", "Stadium", "Ballpark", "Coliseum", "Dome", "Field", "Pavilion"}
	adjectives = []string{"Amber", "Borrowed", "Crooked", "Distant", "Electric", "Forgotten", "Gilded", "Hollow", "Impossible", "Jubilant", "Kindred", "Lonesome", "Midnight", "Neon", "Ordinary", "Paper", "Quiet", "Restless", "Salted", "Tender", "Unfinished", "Velvet", "Wandering", "Yellow"}
	nouns      = []string{"Lantern", "Compass", "Orchard", "Harbor", "Sparrow", "Clockmaker", "Window", "Telegram", "Carousel", "Meadow", "Engine", "Letter", "Mirror", "Umbrella", "Bridge", "Garden", "Staircase", "Kite", "Island", "Lighthouse", "Almanac", "Marigold", "Railway", "Suitcase", "Piano", "Winter"}
	operas     = []string{"La Torre di Vetro", "Il Giardiniere", "Die Sternwarte", "Les Deux Rivages", "La Lettera Perduta", "Der Uhrmacher", "Le Phare", "Il Ponte d'Inverno", "Die Stille Insel", "La Giostra"}
	pieces     = []string{"An Evening of Nocturnes", "The River Suites", "Symphony in Grey", "Music for Winter", "Four Dances", "The Lighthouse Cantata", "Songs Without Hurry", "Variations on a Folk Song"}
	mascots    = []string{"Anchors", "Bison", "Comets", "Drifters", "Foxes", "Herons", "Lumberjacks", "Meteors", "Otters", "Pioneers", "Ravens", "Stallions", "Thunder", "Wolves"}
	firstNames = []string{"Ada", "Adrian", "Aisha", "Alma", "Amir", "Anton", "Beatriz", "Bjorn", "Callum", "Carmen", "Chidi", "Clara", "Dalia", "Darius", "Edith", "Elena", "Emeka", "Esther", "Felix", "Freya", "Gideon", "Greta", "Hana", "Hugo", "Ines", "Isaac", "Ivy", "Jamal", "Jun", "Kaito", "Katya", "Lars", "Leila", "Lucia", "Marcus", "Mei", "Milo", "Nadia", "Nico", "Olga", "Omar", "Petra", "Priya", "Quinn", "Rafael", "Rosa", "Samir", "Sofia", "Tariq", "Tessa", "Uma", "Viktor", "Wanda", "Xavier", "Yara", "Yusuf", "Zoe"}
	lastNames  = []string{"Abbott", "Adeyemi", "Almeida", "Andersson", "Baker", "Becker", "Bianchi", "Castillo", "Chen", "Cohen", "Dlamini", "Dubois", "Eriksen", "Ferreira", "Fischer", "Garcia", "Gupta", "Haddad", "Hansen", "Hughes", "Ibrahim", "Ito", "Jansen", "Johnson", "Kaplan", "Khan", "Kowalski", "Larsen", "Lee", "Lopez", "Marino", "Mbeki", "Moreau", "Nakamura", "Novak", "Okafor", "Olsen", "Park", "Patel", "Petrov", "Quispe", "Rahman", "Reyes", "Rossi", "Santos", "Schmidt", "Silva", "Singh", "Tanaka", "Torres", "Underwood", "Vargas", "Walker", "Wang", "Weber", "Yilmaz", "Zhang", "Zimmerman"}
)
