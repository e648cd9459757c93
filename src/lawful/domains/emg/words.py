"""The words of synthetic typists."""

from __future__ import annotations

_VERBS = """
add ask call carry change clean close cook count cover cross cut draw drink drive end feel fill find fly follow get
give grow happen help hold jump keep kick know laugh lead learn leave lift listen live look love make mark mean meet
mix move need open paint pass pick plan plant play point press print pull push put rain reach read rest ring roll run
sail save say see sell send set shout show sing sit sleep smell sort speak spell stand start stay step stop study swim
take talk teach tell test thank think throw touch train travel try turn use visit wait walk want warm wash watch wear
win wish work worry write
""".split()
_NOUNS = """
acid air animal apple arm baby back ball band bank base bear bed bell bird boat body bone book bottle box boy branch
bread bridge brother building bus cake camp car card cat cause center chair chart child circle city class clock cloth
cloud coat color corn corner country cow cup day desk dinner doctor dog dollar door dream dress drop ear earth edge
egg engine evening event eye face fact family farm father feather field figure finger fire fish floor flower food foot
forest form fox friend fruit game garden gate girl glass gold grass group hair hand hat head heart hill history hole
home horse hour house idea inch island job key king kitchen lake lamp land language leaf leg letter lid light line
lion list lot lunch machine map market mile milk mind minute money month moon morning mother mountain mouse mouth
music name neck night noise nose note number ocean office oil order page pair paper park part party pen people picture
piece pig place plane plate poem pocket pond pot prize problem queen question quiz rabbit radio reason record result
rice river road rock roof room root rope rose rule salt sand school science sea seat seed shape sheep ship shirt shoe
shop side sign silver sister size skin sky snow soil song sound space spoon sport spring square star state station
stone store storm story street student sugar summer sun table tail team thing thumb time tooth top town toy tree trip
truck unit uncle valley village voice wagon wall war water wave way week wheel wind window wing winter wire wood word
world yard year zoo
""".split()
_OTHERS = """
a about above after again all almost also always an and any are as at away bad be because before best better between
big black blue both brown but by can clear cold could dark deep did do dry each early easy eight even ever every far
fast few first five for four free fresh from full good great green had happy hard has have he her here high him his
hot how i if in into is it its just kind large last late left less like little long low many may me more most much
must my near never new next nice no north not now of off often old on once one only or other our out over own poor
quick quiet rather ready red rich right round safe same second seven she short should six slow small so soft some soon
south still strong such sure ten than that the their them then there these they this those three to today together too
two under until up upon us very was we well were west what when where which while white who why wide wild will with
without yes yet you young your zero
""".split()
WORDS = tuple(sorted({*_VERBS, *(f"{word}s" for word in _VERBS), *_NOUNS, *(f"{word}s" for word in _NOUNS), *_OTHERS}))
ZIPF = 0.6  # weight of a word of rank r is r^-ZIPF
LINE_WORDS = 7
