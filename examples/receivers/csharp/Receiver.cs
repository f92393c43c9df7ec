#:sdk Microsoft.NET.Sdk.Web
// Receive opswatch's callbacks: verify the signature, print the event, answer. .NET 10, no package.
//
// $ WEBHOOK_SECRETS="whsec_new whsec_old" dotnet run Receiver.cs --urls http://127.0.0.1:8080

using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

const long Tolerance = 300; // seconds by which a timestamp may differ from this clock; it prevents replays
const int MaxBody = 64 * 1024; // opswatch sends less than 20 kB

byte[][] secrets = [.. (Environment.GetEnvironmentVariable("WEBHOOK_SECRETS") ?? "")
    .Split(' ', StringSplitOptions.RemoveEmptyEntries)
    .Select(secret => Convert.FromBase64String(secret["whsec_".Length..]))];
if (secrets.Length == 0)
{
    Console.Error.WriteLine("WEBHOOK_SECRETS is missing: `opswatch secret` creates one");
    return 1;
}
var seen = new ConcurrentDictionary<string, bool>(); // lost at a restart; in production, use a unique key in your database

var builder = WebApplication.CreateBuilder(args);
builder.WebHost.ConfigureKestrel(kestrel => kestrel.Limits.MaxRequestBodySize = MaxBody);
var app = builder.Build();

app.MapPost("/{**path}", async (HttpRequest request) =>
{
    string id = request.Headers["webhook-id"].ToString();
    string timestamp = request.Headers["webhook-timestamp"].ToString();
    string signatures = request.Headers["webhook-signature"].ToString();
    bool isNumber = long.TryParse(timestamp, NumberStyles.None, CultureInfo.InvariantCulture, out long sentAt);
    if (id == "" || signatures == "" || !isNumber)
        return Results.StatusCode(400);

    using var buffer = new MemoryStream();
    await request.Body.CopyToAsync(buffer);
    byte[] body = buffer.ToArray(); // the raw body, before parsing

    bool isFresh = Math.Abs(DateTimeOffset.UtcNow.ToUnixTimeSeconds() - sentAt) <= Tolerance;
    if (!isFresh || !IsGenuine(id, timestamp, signatures, body))
        return Results.StatusCode(401);
    if (!seen.ContainsKey(id)) // otherwise it was sent again, because the last answer was lost
    {
        using var @event = JsonDocument.Parse(body);
        await Handle(@event);
        seen[id] = true; // last: if anything fails before this, the event is sent again
    }
    return Results.NoContent();
});
app.Run();
return 0;

// Do your work here, within 15 seconds: after that opswatch sends the event again.
static Task Handle(JsonDocument @event) => Console.Out.WriteLineAsync(@event.RootElement.GetRawText());

// Return whether one of the signatures (`v1,…`, separated by spaces) is by one of the secrets.
bool IsGenuine(string id, string timestamp, string signatures, byte[] body)
{
    byte[] signed = [.. Encoding.UTF8.GetBytes($"{id}.{timestamp}."), .. body];
    byte[][] given = [.. signatures.Split(' ').Select(text => Encoding.UTF8.GetBytes(text))];
    return secrets
        .Select(secret => $"v1,{Convert.ToBase64String(HMACSHA256.HashData(secret, signed))}")
        .Select(text => Encoding.UTF8.GetBytes(text))
        .Any(own => given.Any(other => CryptographicOperations.FixedTimeEquals(own, other)));
}
