# Prints the string literals that join two sentences with a semicolon. Arguments: Rust sources.
# Comments, raw strings, the tests at the end of a file and indented commands in the text of a note do not count.
use strict;
use warnings;

my $found = 0;
for my $file (@ARGV) {
    open my $in, '<', $file or die "$file: $!";
    my $text = do { local $/; <$in> };
    $text =~ s/^#\[cfg\(test\)\]\nmod \w+ \{.*//ms;
    while ($text =~ m{//[^\n]*|'(?:\\.|[^'\\\n])'|r(#*)".*?"\1|"((?:\\.|[^"\\])*)"}gs) {
        my ($string, $at) = ($2, $-[0]);
        next unless defined $string;
        $string =~ s/^ {4}.*$//mg if $string =~ /^\\\n/;
        next unless $string =~ /;\s|;$/m;
        my $line = 1 + (substr($text, 0, $at) =~ tr/\n//);
        print "$file:$line: a semicolon in a text: \"$string\"\n";
        $found = 1;
    }
}
exit $found;
