"""The functions of the expression language; one of ours given null gives null, unless its line says otherwise.

JMESPath's own
    abs(number)                       The absolute value.
    avg(numbers)                      The mean; null for no numbers.
    ceil(number)                      The next whole number upwards.
    floor(number)                     The next whole number downwards.
    sum(numbers)                      The sum; 0 for no numbers.
    contains(subject, search)         Whether a text or array contains something.
    starts_with(text, start)          Whether the text starts so.
    ends_with(text, end)              Whether the text ends so.
    join(glue, texts)                 The texts in one, with the glue between.
    length(x)                         Characters, elements or keys.
    reverse(x)                        A text or array backwards.
    keys(object)                      Its keys.
    values(object)                    Its values.
    merge(object, …)                  One object of all; the last of an equal key counts.
    not_null(a, …)                    The first that is not null.
    to_array(x)                       An array as it is, anything else as the only element of one.
    to_string(x)                      A text as it is, anything else as JSON.
    to_number(x)                      A number as it is, a text read as one, else null.
    type(x)                           string, number, boolean, array, object or null.
    max(xs)                           The greatest number or text; null of none.
    min(xs)                           The least number or text; null of none.
    sort(xs)                          The numbers or texts in order.
    map(&each, xs)                    The expression's result for every element, nulls included.
    max_by(xs, &key)                  The element of the greatest key; null of none.
    min_by(xs, &key)                  The element of the least key; null of none.
    sort_by(xs, &key)                 The elements in the order of their keys.

Text
    lower(text)                       In lower case.
    upper(text)                       In upper case.
    trim(text)                        Without white space around it.
    strip_brackets(text)              Trimmed, and without the angle brackets around it.
    prefix(text, before)              The text with another before it; an empty text stays empty.
    split(text, separator)            The parts between the separators.
    replace(text, old, new)           With every occurrence of `old` replaced.
    substring_before(text, marker, …) What stands before the first of the markers, or the whole text.
    base64_decode(text)               The UTF-8 text that is encoded in base64 (either alphabet), else null.
    url_decode(text)                  With %XX and + decoded.
    template(text, a, …)              The text with {0}, {1}, … filled in; null when every argument is null.
    regex_match(text, pattern)        Whether the pattern (RE2 syntax, a literal) occurs in the text.
    regex(text, pattern, group?)      A group of the first match, by default the first, or all where none is marked.

Values, lists, objects and the scope
    coalesce(a, …)                    The first that is not null, nor an empty text, array or object.
    text(x)                           A scalar spelled out, an array or object as JSON.
    number(x)                         The number that a text spells, whole or not, else null.
    int(x)                            The whole number that a number or text gives, the rest cut off, else null.
    json(x)                           The JSON in a text, null when it is not JSON or deeper than 64 levels; an array or
                                      object as it is.
    list(x)                           An array as it is, null as an empty one, anything else as the only element.
    csv(text)                         The items between commas, trimmed, without empty ones; of an array its texts.
    strings(x)                        The texts of the scalars in an array; null, arrays and objects are left out.
    pairs(list, name?, value?)        An object from [{name, value}, …]; an object as it is.
    lookup(key, object, default?)     What the object has under the key, else the default or null.
    omit(object, keys)                The object without these keys.
    has(object, key)                  Whether the object has the key, be its value null.
    header(name)                      A header of the request, whatever the case of its name.
    query(name)                       A query parameter of the request.
    body()                            The whole decoded body of the request.
    parent()                          What holds the item that is being mapped.
    recipient()                       The recipient, where one item stands for several.

Mail
    smtp_code(text)                   The first SMTP reply code in a text, as a number; of a number itself.
    enhanced_code(text)               The first RFC 3463 status in a text: 5.1.1.
    address(text)                     The bare address of the first mailbox: a@b of `Name <a@b>`.
    address_name(text)                The name of the first mailbox, decoded; null where it has none.
    addresses(x)                      The bare addresses in a text, or in an array of texts or of {email} or {address}.
    header_value(headers, name)       A header of [{name, value}, …], [[name, value], …] or an object, in any case.
"""

from difflib import get_close_matches

from adapters.functions import mail, standard, text, values
from adapters.functions.table import TABLE

__all__ = ["FUNCTIONS", "mail", "standard", "suggestion", "text", "values"]

FUNCTIONS: dict[str, str] = {name: f"{each.signature}: {each.meaning}" for name, each in sorted(TABLE.items())}
"""What every function is for, with its signature, by name."""


def suggestion(name: str) -> str:
    """The end of a sentence about an unknown function: the one that may have been meant."""
    close = get_close_matches(name, TABLE, n=1)
    return f"; is {close[0]}() meant?" if close else ""
